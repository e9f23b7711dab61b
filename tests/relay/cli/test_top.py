"""`icelane top`, asked of a relay that runs: on terminals, and into pipes."""

import asyncio
import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.relay.cli.commands import ICELANE, LIMIT, icelane, line, refused, started
from tests.relay.cli.conftest import FLOW, HostIcelane, Running
from tests.relay.cli.terminal import OFF, ON, Terminal

NOBODY = "nobody-made-this"
QUICK = ("--interval", "0.1")


@pytest.fixture
def terminal(relay: Running) -> Iterator[Terminal]:
    """The viewer on a terminal, with a picture of the relay's one flow."""
    with Terminal("top", "--admin", relay.admin, *QUICK) as terminal:
        terminal.shows(str(relay.client))
        yield terminal


class TestKeys:
    def test_the_head_tells_of_the_relay(self, terminal: Terminal) -> None:
        assert "userspace dataplane" in terminal.screen[0]
        terminal.shows("0 confirmed")
        terminal.shows(" pending")
        terminal.shows("no Redis")

    def test_pages(self, terminal: Terminal, relay: Running) -> None:
        terminal.type("2")
        terminal.shows(str(relay.transceiver))
        terminal.hides(str(relay.client))
        terminal.type("\t")
        terminal.until(
            lambda screen: any(row.startswith(("reason", "nothing was dropped")) for row in screen),
            "drops",
        )
        terminal.type("4")
        terminal.shows("softirq")
        terminal.type("\x1b[Z\x1b[Z\x1b[Z")
        terminal.shows(str(relay.client))

    def test_a_flow_is_opened_and_closed(self, terminal: Terminal, relay: Running) -> None:
        terminal.type("\r")
        terminal.shows("cluster/slot.generation 1/20.3")
        terminal.shows("client to transceiver")
        terminal.shows("transceiver to client")
        assert str(relay.transceiver) in "".join(terminal.screen)
        terminal.type("\x1b")
        terminal.hides("cluster/slot.generation")
        terminal.shows(str(relay.client))

    def test_a_filter_works_while_it_is_typed(self, terminal: Terminal, relay: Running) -> None:
        terminal.type("/10.9")
        terminal.shows("no flow fits '10.9'")
        terminal.type("\x15127.0")
        terminal.shows(str(relay.client))
        terminal.type("\r")
        terminal.shows("filter: 127.0  ")
        terminal.type("\x1b")
        terminal.hides("filter:")

    def test_orders(self, terminal: Terminal) -> None:
        for key, said in (("p", "by packets"), ("c", "by client"), ("r", "by client reversed")):
            terminal.type(key)
            terminal.shows(said)
        terminal.type("s")
        terminal.shows("by transceiver")

    def test_a_pause_lasts_until_it_ends(self, terminal: Terminal) -> None:
        terminal.type(" ")
        then = terminal.shows("paused")[0]
        terminal.type("3")
        terminal.hides("by bits")
        assert terminal.screen[0] == then
        terminal.type(" ")
        terminal.hides("paused")

    def test_help(self, terminal: Terminal) -> None:
        terminal.type("?")
        terminal.shows("choose a row")
        terminal.type("x")
        terminal.hides("choose a row")

    @pytest.mark.parametrize("keys", ["q", "\x03"], ids=repr)
    def test_it_ends_and_puts_the_terminal_back(self, terminal: Terminal, keys: str) -> None:
        assert terminal.modes_now() != terminal.modes
        terminal.type(keys)
        assert terminal.end() == 0
        put_back(terminal)


def put_back(terminal: Terminal) -> None:
    assert terminal.modes_now() == terminal.modes
    assert terminal.sent.count(ON) == terminal.sent.count(OFF)
    assert terminal.sent.endswith(OFF)
    assert "Traceback" not in terminal.sent


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_and_puts_the_terminal_back(
    terminal: Terminal, number: signal.Signals
) -> None:
    terminal.kill(number)
    assert terminal.end() == 0
    put_back(terminal)


def test_it_ends_after_so_many_looks(relay: Running) -> None:
    with Terminal("top", "--admin", relay.admin, *QUICK, "--count", "2") as terminal:
        assert terminal.end() == 0
        put_back(terminal)


def test_another_size_is_filled(terminal: Terminal, relay: Running) -> None:
    assert all("upstream" not in row for row in terminal.screen)
    terminal.resize(200, 50)
    terminal.shows("upstream")
    terminal.shows(str(relay.vip))
    terminal.resize(60, 10)
    terminal.hides("upstream")
    assert len(terminal.screen) <= 10
    assert all(len(row) <= 60 for row in terminal.screen)


def test_a_terminal_of_ascii_gets_ascii(relay: Running) -> None:
    with Terminal("top", "--admin", relay.admin, *QUICK, locale="C", ascii_only=True) as terminal:
        terminal.shows(str(relay.client))
        assert terminal.sent.isascii()


def test_without_relay_the_terminal_stays_as_it_is(tmp_path: Path) -> None:
    admin = tmp_path / "nobody.sock"
    with Terminal("top", "--admin", admin, "--instance", NOBODY, columns=200) as terminal:
        assert terminal.end() == 1
        assert f"icelane: no agent answers at {admin}" in terminal.sent
        assert ON not in terminal.sent


def test_top_looks_as_often_as_it_is_told(relay: Running) -> None:
    result = icelane("top", "--admin", relay.admin, "--count", "2", *QUICK)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.count("userspace dataplane") == 2
    assert "0 confirmed" in result.stdout
    assert " pending" in result.stdout
    assert "\x1b" not in result.stdout


async def test_into_a_pipe_each_look_comes_at_once_and_sigterm_ends_it(relay: Running) -> None:
    async with started("top", "--admin", str(relay.admin), *QUICK) as process:
        assert "userspace dataplane" in await line(process)
        process.send_signal(signal.SIGTERM)
        rest, errors = await asyncio.wait_for(process.communicate(), LIMIT)
        assert (process.returncode, errors) == (0, b"")
        assert rest.endswith(b"\n")


async def test_json_is_a_line_for_each_look(relay: Running) -> None:
    async with started("top", "--admin", str(relay.admin), "--json", *QUICK) as process:
        looks = [json.loads(await line(process)) for _ in range(12)]
        process.send_signal(signal.SIGINT)
        _, errors = await asyncio.wait_for(process.communicate(), LIMIT)
        assert (process.returncode, errors) == (0, b"")
    assert all(look["flows"]["pending"] > 0 for look in looks)
    found = {flow["client"]: flow["state"] for flow in looks[-1]["busiest"]}
    assert found[str(relay.client)] == "pending"


def test_a_reader_that_has_seen_enough_ends_it_silently(relay: Running) -> None:
    shell = f"{ICELANE} top --admin {relay.admin} --interval 0.1 | head -n 1"
    done = subprocess.run(
        ["bash", "-c", shell], capture_output=True, text=True, timeout=LIMIT, check=False
    )
    assert "userspace dataplane" in done.stdout
    assert done.stderr == ""


def test_without_relay_the_error_says_what_was_looked_for(tmp_path: Path) -> None:
    admin = tmp_path / "nobody.sock"
    line = refused(icelane("top", "--count", "1", "--admin", admin, "--instance", NOBODY), code=1)
    assert line.startswith(f"icelane: no agent answers at {admin}")
    assert "and no program" in line


@pytest.mark.bpf
@pytest.mark.netns
@pytest.mark.usefixtures("loaded")
def test_without_an_agent_the_kernels_memory_is_read(
    host_icelane: HostIcelane, instance: str, tmp_path: Path
) -> None:
    admin = tmp_path / "nobody.sock"
    options = ("--instance", instance, "--admin", admin, "--count", "1", "--json")
    told = json.loads(host_icelane("top", *options).stdout)
    assert (told["agent"], told["dataplane"], told["flows"]["confirmed"]) == (None, "xdp", 1)
    (flow,) = told["busiest"]  # of the kernel's alone
    assert flow["client"] == str(FLOW.client)
    assert flow["transceiver"] == str(FLOW.transceiver)


@pytest.mark.parametrize(
    "options",
    [("--interval", "0"), ("--interval", "x"), ("--count", "-1")],
    ids=" ".join,
)
def test_a_rhythm_that_is_none_is_a_usage_error(options: tuple[str, str]) -> None:
    result = icelane("top", *options)
    assert result.exit_code == 2
    assert options[0] in result.stderr
