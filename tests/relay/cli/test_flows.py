"""`icelane flows`, asked of a relay that runs."""

import json
from pathlib import Path

import pytest

from relay.wire.endpoint import Endpoint
from tests.relay.cli.commands import LIMIT, icelane, refused
from tests.relay.cli.conftest import Running

NOBODY = "nobody-made-this"


def test_json(relay: Running) -> None:
    result = icelane("flows", "--admin", relay.admin, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    (flow,) = json.loads(result.stdout)
    upstream = Endpoint.parse(flow.pop("upstream"))
    assert upstream.host == "127.0.0.1"
    assert upstream.port in range(10_000, 30_000)
    assert 0 <= flow.pop("idle_seconds") < LIMIT
    assert flow.pop("to_transceiver")["packets"] == 1
    assert flow.pop("to_client")["packets"] == 0
    assert flow == {
        "client": str(relay.client),
        "transport": "udp",
        "vip": str(relay.vip),
        "transceiver": str(relay.transceiver),
        "target": "1/20.3",
        "state": "pending",
    }


def test_for_people_every_address_is_in_one_line(relay: Running) -> None:
    result = icelane("flows", "--admin", relay.admin)
    assert result.exit_code == 0
    header, row = result.stdout.splitlines()
    assert header.split()[:6] == [
        *("client", "transport", "vip", "upstream", "transceiver", "state")
    ]
    cells = row.split()
    assert (cells[0], cells[2], cells[4]) == (
        str(relay.client),
        str(relay.vip),
        str(relay.transceiver),
    )
    assert [cells[1], *cells[5:8]] == ["udp", "pending", "1", "0"]


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["table", "JSON"])
def test_without_relay_the_error_says_what_was_looked_for(
    tmp_path: Path, options: list[str]
) -> None:
    admin = tmp_path / "nobody.sock"
    line = refused(icelane("flows", *options, "--admin", admin, "--instance", NOBODY), code=1)
    assert line.startswith(f"icelane: no agent answers at {admin}")
    assert "and no program" in line
