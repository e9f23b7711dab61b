"""`icelane dataplane`, asked of a relay that runs; test_switch.py has switches during calls."""

import json
from pathlib import Path

import pytest

from tests.relay.cli.commands import icelane, refused
from tests.relay.cli.conftest import Running


def test_it_says_what_forwards_from_now_on(relay: Running) -> None:
    result = icelane("dataplane", "switch", "userspace", "--admin", relay.admin)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "the userspace dataplane forwards\n"


@pytest.mark.bpf
def test_a_relay_without_an_interface_cannot_let_the_kernel_forward(relay: Running) -> None:
    assert "--interface" in refused(
        icelane("dataplane", "switch", "xdp", "--admin", relay.admin), code=1
    )
    (flow,) = json.loads(icelane("flows", "--admin", relay.admin, "--json").stdout)
    assert flow["client"] == str(relay.client)


@pytest.mark.parametrize("name", ["dpdk", "auto"])
def test_what_cannot_be_switched_to_is_a_usage_error(name: str) -> None:
    result = icelane("dataplane", "switch", name)
    assert result.exit_code == 2
    assert name in result.stderr
    assert "xdp" in result.stderr


def test_without_an_agent_it_says_where_it_looked(tmp_path: Path) -> None:
    admin = tmp_path / "nobody.sock"
    line = refused(icelane("dataplane", "switch", "userspace", "--admin", admin), code=1)
    assert line.startswith(f"icelane: no agent answers at {admin}")
