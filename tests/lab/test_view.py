"""Output of the demo on a terminal of 80 columns."""

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from tests.lab.call_result import CallResult
from tests.lab.view import CallProgress, DemoView

KILLED = CallResult(
    title="XDP,\nagent killed",
    dataplane="xdp",
    setup_ms=76.2,
    sent=502,
    returned=502,
    lost_to_server=0,
    lost_to_client=0,
    lost_at_end=0,
    longest_gap_ms=31.4,
    by_kernel=1054,
    by_agent=3,
    recovered_flows=1,
)
LOST = replace(
    KILLED,
    title="XDP, all\nstate lost",
    returned=417,
    lost_to_server=85,
    longest_gap_ms=1720.0,
    loss_until="the restarted agent had restored the flow from Redis",
)
HOST = replace(LOST, title="XDP,\nhost lost", loss_until="another relay had taken the flow over")
USERSPACE = replace(
    KILLED,
    title="userspace",
    dataplane="userspace",
    by_kernel=0,
    by_agent=1055,
    recovered_flows=None,
)


@pytest.fixture
def screen() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def view(screen: io.StringIO) -> DemoView:
    return DemoView(Console(file=screen, width=80))


def test_the_table_has_all_calls_side_by_side(view: DemoView, screen: io.StringIO) -> None:
    view.results([KILLED, LOST, USERSPACE, HOST])
    rows = {
        cells[1].strip(): [cell.strip() for cell in cells[2:-1]]
        for line in screen.getvalue().splitlines()
        if len(cells := line.split("│")) == 7
    }
    assert rows["time to first audio"] == ["76 ms", "76 ms", "76 ms", "76 ms"]
    assert rows["audio packets returned"] == ["502", "417", "502", "417"]
    assert rows["lost to transceiver"] == ["0", "85", "0", "85"]
    assert rows["longest audio gap"] == ["31 ms", "1720 ms", "31 ms", "1720 ms"]
    assert rows["forwarded by kernel"] == ["1054", "1054", "0", "1054"]
    assert rows["forwarded by agent"] == ["3", "3", "1055", "3"]
    assert rows["share of the kernel"] == ["99.7%", "99.7%", "0.0%", "99.7%"]
    assert rows["result"] == ["passed"] * 4
    assert max(map(len, screen.getvalue().splitlines())) <= 80


def test_a_sentence_about_each_call_follows_the_table(view: DemoView, screen: io.StringIO) -> None:
    view.results([KILLED, LOST, USERSPACE, HOST])
    text = " ".join(screen.getvalue().split())
    assert "XDP, agent killed: no audio packet was lost; the kernel forwarded 99.7%" in text
    assert "XDP, all state lost: 85 audio packets were lost until the restarted agent" in text
    assert "XDP, host lost: 85 audio packets were lost until another relay had taken" in text
    assert "userspace: no audio packet was lost; the agent forwarded all packets." in text


def test_a_call_that_lost_packets_has_failed(view: DemoView, screen: io.StringIO) -> None:
    bad = replace(KILLED, lost_to_client=2)
    view.call_result(bad)
    view.results([bad])
    assert "✗ 2 audio packets were lost" in screen.getvalue()
    assert "failed" in screen.getvalue()
    assert "passed" not in screen.getvalue()


def test_live_progress_fits_the_terminal(screen: io.StringIO) -> None:
    view = DemoView(Console(file=screen, width=80, force_terminal=True, color_system=None))
    path = ("203.0.113.200:42516", "203.0.113.10:3478", "192.0.2.1:28868", "192.0.2.2:5000")
    with view.live() as live:
        view.show_progress(live, CallProgress(3.2, path, 160, 158, 312, 3, "killed"))
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue()).splitlines()
    assert max(map(len, lines)) <= 80
    assert any(" → ".join(path) in line for line in lines)
    assert any("by kernel 312" in line for line in lines)
    assert any("agent killed" in line for line in lines)


def test_a_quiet_console_prints_nothing(screen: io.StringIO) -> None:
    view = DemoView(Console(file=screen, quiet=True))
    view.section("A call")
    view.step("it is up")
    view.call_result(KILLED)
    view.results([KILLED])
    assert screen.getvalue() == ""
