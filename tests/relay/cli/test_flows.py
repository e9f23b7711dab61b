"""`icelane flows`, asked of a relay that runs."""

import asyncio
import json
import socket
from pathlib import Path

import pytest

from relay.wire.endpoint import Endpoint
from tests.relay.cli.commands import LIMIT, icelane, line, refused, started
from tests.relay.cli.conftest import Running, binding_request

NOBODY = "nobody-made-this"


def test_json(relay: Running) -> None:
    result = icelane("flows", "--admin", relay.admin, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    (flow,) = json.loads(result.stdout)
    upstream = Endpoint.parse(flow.pop("upstream"))
    assert upstream.host == "127.0.0.1"
    assert upstream.port in range(10_000, 30_000)
    assert 0 <= flow.pop("idle_seconds") <= flow.pop("age_seconds") < LIMIT
    assert flow.pop("to_transceiver")["packets"] == 1
    assert flow.pop("to_client")["packets"] == 0
    assert len(flow.pop("id")) == 12
    assert flow == {
        "client": str(relay.client),
        "transport": "udp",
        "vip": str(relay.vip),
        "transceiver": str(relay.transceiver),
        "target": "1/20.3",
        "state": "pending",
        "one_way": None,
    }


def test_for_people_every_address_is_in_one_line(relay: Running) -> None:
    result = icelane("flows", "--admin", relay.admin, columns=40)
    assert result.exit_code == 0
    header, row = result.stdout.splitlines()
    assert header.split() == ["client", "transceiver", "state", "in", "out", "idle"]
    assert row.split()[:-1] == [str(relay.client), str(relay.transceiver), "pending", "1", "0"]


def test_what_is_asked_about_is_seen(relay: Running) -> None:
    options = ("--idle-for", "0s", "--younger-than", "1h", "--sort", "-bytes-in")
    header, row = icelane("flows", "--admin", relay.admin, *options).stdout.splitlines()
    assert header.split()[6:] == ["age", "bytes-in"]
    assert float(row.split()[6]) < 3600
    header, *rows = icelane("flows", "--admin", relay.admin, "--one-way").stdout.splitlines()
    assert header.split()[6:] == ["one-way"]
    assert rows == []  # it is pending: its transceiver is still asked


@pytest.mark.parametrize(
    ("options", "count"),
    [
        *((["--client", "127.0.0.0/8"], 1), (["--client", "10.0.0.0/8"], 0)),
        *((["--transceiver", "1/20"], 1), (["--transceiver", "1/21"], 0)),
        *((["--state", "pending"], 1), (["--state", "confirmed"], 0)),
        *((["--older-than", "1h"], 0), (["--one-way"], 0), (["--idle-for", "1h"], 0)),
        *((["--max-rate", "0", "--interval", "0.1"], 1), (["--limit", "1"], 1)),
        (["--min-rate", "1", "--interval", "0.1"], 0),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else str(each),
)
def test_filters_hold_for_the_table_and_for_json(
    relay: Running, options: list[str], count: int
) -> None:
    table = icelane("flows", "--admin", relay.admin, *options)
    assert len(table.stdout.splitlines()) == 1 + count
    listed = json.loads(icelane("flows", "--admin", relay.admin, *options, "--json").stdout)
    assert len(listed) == count


def test_mistakes_are_told_before_anybody_is_asked(tmp_path: Path) -> None:
    admin = tmp_path / "nobody.sock"
    refusal = refused(icelane("flows", "--columns", "clint", "--admin", admin))
    assert "did you mean client?" in refusal
    assert "go behind it" in refused(icelane("flows", "--limit", "3", "show", "20417"))


def test_one_flow_is_shown_by_any_of_its_names(relay: Running) -> None:
    (flow,) = json.loads(icelane("flows", "--admin", relay.admin, "--json").stdout)
    result = icelane("flows", "show", flow["id"], "--admin", relay.admin, "--json")
    assert result.exit_code == 0, result.stderr
    shown = json.loads(result.stdout)
    assert shown["client"] == flow["client"]
    assert shown["to_transceiver"]["packet_rate"] == 0.0
    assert (shown["route"]["cluster"], shown["route"]["slot"]) == (1, 20)
    assert shown["next_hops"] == {"to_transceiver": None, "to_client": None}
    assert (shown["agent"]["has_mirror"], shown["agent"]["epoch"]) == (False, 1)
    text = icelane("flows", "show", str(relay.client), "--admin", relay.admin).stdout
    assert flow["upstream"] in text
    assert "to 1/20.3, signed by key slot 0" in text


@pytest.mark.parametrize("command", ["show", "close"])
def test_a_flow_that_is_not_there(relay: Running, command: str) -> None:
    result = icelane("flows", command, "203.0.113.99", "--admin", relay.admin)
    assert "there is no flow '203.0.113.99'" in refused(result, code=1)


async def test_a_flow_is_watched_from_its_first_check_until_it_is_closed(relay: Running) -> None:
    admin = str(relay.admin)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.bind(("127.0.0.1", 0))
        name = str(Endpoint.of(client.getsockname()))
        options = ("--admin", admin, "--client", name, "--count", "2", "--json")
        async with started("flows", "watch", *options) as watching:
            ended = asyncio.create_task(watching.wait())
            while not ended.done():  # who watches is heard of by what happens
                client.sendto(binding_request(), relay.vip)
                await asyncio.sleep(0.05)
                await asyncio.to_thread(icelane, "flows", "close", name, "--admin", admin)
            events = [json.loads(await line(watching)) for _ in range(2)]
            assert await ended == 0
    assert {each["event"] for each in events} == {"opened", "closed"}
    assert {each["client"] for each in events} == {name}
    (closed,) = (each for each in events if each["event"] == "closed")
    assert closed["reason"] == "closed"


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["table", "JSON"])
def test_without_relay_the_error_says_what_was_looked_for(
    tmp_path: Path, options: list[str]
) -> None:
    admin = tmp_path / "nobody.sock"
    line = refused(icelane("flows", *options, "--admin", admin, "--instance", NOBODY), code=1)
    assert line.startswith(f"icelane: no agent answers at {admin}")
    assert "and no program" in line
