"""What the demo prints, on a terminal of 80 columns."""

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from tests.lab.figures import Figures
from tests.lab.view import Moment, View

KILLED = Figures(
    title="XDP,\nagent killed",
    dataplane="xdp",
    setup_ms=76.2,
    sent=502,
    returned=502,
    lost_to_server=0,
    lost_to_client=0,
    lost_at_end=0,
    silence_ms=31.4,
    by_kernel=1054,
    by_agent=3,
    taken_over=1,
)
LOST = replace(
    KILLED,
    title="XDP,\nall state lost",
    returned=417,
    lost_to_server=85,
    silence_ms=1720.0,
    loss_allowed=True,
)
USERSPACE = replace(
    KILLED, title="userspace", dataplane="userspace", by_kernel=0, by_agent=1055, taken_over=None
)


@pytest.fixture
def screen() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def view(screen: io.StringIO) -> View:
    return View(Console(file=screen, width=80))


def test_the_summary_has_all_calls_side_by_side(view: View, screen: io.StringIO) -> None:
    view.summary([KILLED, LOST, USERSPACE])
    rows = {
        cells[1].strip(): [cell.strip() for cell in cells[2:-1]]
        for line in screen.getvalue().splitlines()
        if len(cells := line.split("│")) == 6
    }
    assert rows["set-up, to first audio"] == ["76 ms", "76 ms", "76 ms"]
    assert rows["audio packets returned"] == ["502", "417", "502"]
    assert rows["lost on the way there"] == ["0", "85", "0"]
    assert rows["longest silence"] == ["31 ms", "1720 ms", "31 ms"]
    assert rows["all packets, by kernel"] == ["1054 (99.7%)", "1054 (99.7%)", "0 (0.0%)"]
    assert rows["all packets, by agent"] == ["3 (0.3%)", "3 (0.3%)", "1055 (100.0%)"]
    assert rows["verdict"] == ["good", "good", "good"]


def test_the_summary_ends_in_words(view: View, screen: io.StringIO) -> None:
    view.summary([KILLED, LOST, USERSPACE])
    text = " ".join(screen.getvalue().split())
    assert "XDP, agent killed: not one audio packet was lost" in text
    assert "XDP, all state lost: 85 packets were lost while no relay was there" in text
    assert "userspace: the agent forwarded every packet itself" in text


def test_a_call_that_went_wrong_is_not_called_good(view: View, screen: io.StringIO) -> None:
    bad = replace(KILLED, lost_to_client=2)
    view.outcome(bad)
    view.summary([bad])
    assert "✗ 2 audio packets were lost" in screen.getvalue()
    assert "failed" in screen.getvalue()
    assert "good" not in screen.getvalue()


def test_a_moment_fits_the_terminal(screen: io.StringIO) -> None:
    view = View(Console(file=screen, width=80, force_terminal=True, color_system=None))
    path = ("203.0.113.200:42516", "203.0.113.10:3478", "192.0.2.1:28868", "192.0.2.2:5000")
    with view.live() as live:
        view.show(live, Moment(3.2, path, 160, 158, 312, 3, "is dead"))
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue()).splitlines()
    assert max(map(len, lines)) <= 80
    assert any(" → ".join(path) in line for line in lines)
    assert any("by the kernel 312" in line for line in lines)
    assert any("agent is dead" in line for line in lines)


def test_a_quiet_view_prints_nothing(screen: io.StringIO) -> None:
    view = View(Console(file=screen, quiet=True))
    view.chapter("A call")
    view.done("it is up")
    view.outcome(KILLED)
    view.summary([KILLED])
    assert screen.getvalue() == ""
