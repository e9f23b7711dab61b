"""What a shell completes, by the installed command: values of this host."""

import os
import socket
import subprocess
from pathlib import Path

import pytest
from typer.testing import Result

from relay.netns.host import Host
from tests.relay.cli.commands import ICELANE, LIMIT
from tests.relay.cli.conftest import Running


def offered(*words: str, **environment: str) -> list[str]:
    """What bash offers for the last of these words."""
    ran = subprocess.run(
        [ICELANE],
        env=os.environ
        | environment
        | {
            "_ICELANE_COMPLETE": "complete_bash",
            "COMP_WORDS": " ".join(("icelane", *words)),
            "COMP_CWORD": str(len(words)),
        },
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=True,
    )
    assert ran.stderr == ""
    return ran.stdout.split()


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (["dataplane", "switch", ""], ["xdp", "userspace"]),
        (["keys", "export", "--for", "r"], ["relay"]),
        (["config", "example", "tr"], ["transceiver"]),
        (["config", "check", "--section", "u"], ["up"]),
        (["conf"], ["config"]),
    ],
)
def test_words_that_are_known_beforehand(words: list[str], values: list[str]) -> None:
    assert offered(*words) == values


def test_interfaces_of_this_host() -> None:
    known = {name for _, name in socket.if_nameindex()} - {"lo"}
    assert set(offered("relay", "run", "--interface", "")) == known


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to load a program")
class TestLoaded:
    def test_instances_and_maps(self, loaded: Result, host: Host, instance: str) -> None:
        assert loaded.exit_code == 0
        with host.inside():
            assert instance in offered("maps", "list", "--instance", "")
            assert instance in offered("relay", "run", "--instance", "test-")
            names = offered("maps", "dump", "--instance", instance, "")
        assert {"build", "counters"} <= set(names)


def test_instances_that_run(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as agent:
        own = Path("/run/icelane" if os.geteuid() == 0 else tmp_path)
        own.mkdir(exist_ok=True)
        name = f"test-complete-{os.getpid()}"
        path = own / (f"{name}.sock" if os.geteuid() == 0 else f"icelane-{name}.sock")
        agent.bind(str(path))
        agent.listen()
        try:
            values = {
                command: offered(
                    command, "--instance", "test-complete-", XDG_RUNTIME_DIR=str(tmp_path)
                )
                for command in ("flows", "top", "stats")
            }
        finally:
            path.unlink()
    assert list(values.values()) == 3 * [[name]]


def test_transceivers_that_a_relay_knows(relay: Running) -> None:
    # Its registry has no control URL, so there is nothing to offer, and nothing to complain of.
    assert offered("transceiver", "drain", "") == []
    assert relay.admin.is_socket()


def test_where_nothing_can_be_found_out_nothing_is_said(tmp_path: Path) -> None:
    keys = str(tmp_path / "nosuch")
    assert offered("registry", "show", "--redis", "redis://127.0.0.1:1/0", "--keys", keys, "") == []
    assert offered("maps", "dump", "--instance", "nosuch", "") == []
