"""What is told of real calls that end, and of those whose transceiver died."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.route import Target
from tests.transceiver.muxbench import Until
from transceiver.ledger import Ledger
from transceiver.server import Transceiver, TransceiverConfig

ANYWHERE = Endpoint("127.0.0.1", 0)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


async def test_a_call_leaves_a_record_under_the_name_that_its_client_knows(
    tmp_path: Path, keys: KeyRing, target: Target, dial: Any, until: Until
) -> None:
    path = tmp_path / "calls.jsonl"
    config = TransceiverConfig(ANYWHERE, ANYWHERE, target, keys, records=path)
    config = replace(config, call_id="public {1}".format)
    journal = tmp_path / f"calls.jsonl.open-{target.cluster}-{target.slot}"
    async with Transceiver(config) as transceiver:
        client = dial(transceiver.control)
        await client.call(transceiver.address, principal="ada")
        await until(lambda: next(iter(transceiver.calls)).state == "connected")
        (begun,) = lines(journal)
        assert begun["begin"]["principal"] == "ada"
        await client.request("DELETE", f"/v1/sessions/{client.id}")
        (record,) = lines(path)
    assert record["id"] == begun["begin"]["id"] == f"public {client.id}"
    assert record["reason"] == "hung up"
    assert {"answer", "dtls"} <= set(record["steps"])
    assert not journal.exists()


async def test_who_takes_the_slot_of_one_that_died_writes_its_records(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    dead = Ledger(path, None, "1-1")
    await dead.__aenter__()
    dead.began({"id": "a", "principal": "ada", "started": "then"})
    dead.began({"id": "b", "principal": None, "started": "then"})
    dead.ended({"id": "b", "reason": "hung up"})
    async with Ledger(path, None, "1-2"):
        assert len(lines(path)) == 1, "another slot"
    async with Ledger(path, None, "1-1"):
        ended, died = lines(path)
    assert ended["id"] == "b"
    assert (died["id"], died["principal"], died["started"]) == ("a", "ada", "then")
    assert (died["reason"], died["ended"], died["rtp"]) == ("the transceiver died", None, {})
    async with Ledger(path, None, "1-1"):
        assert len(lines(path)) == 2, "once"
