"""Which aims a run can say something about, and what it says."""

from dataclasses import replace

import pytest

from tests.bench.density.measure import Result as Carried
from tests.bench.loss.measure import NETEQ, OURS
from tests.bench.loss.measure import Result as Heard
from tests.bench.voice.aims import aims
from tests.bench.voice.figures import Figures

CLEAN = Carried(120, 0.0, 0.8, 66.0, 2.5, 9.1, 0, 310.0, 1.0)
LOSSY = Carried(70, 0.05, 0.7, 99.0, 4.0, 9.1, 0, 320.0, 0.95)
FIGURES = Figures(
    command="",
    machine={},
    carried=[
        CLEAN,
        replace(CLEAN, calls=160, late_p99=9.0),
        LOSSY,
        replace(LOSSY, calls=100, echoed=0.8),
    ],
    heard=[
        Heard("10 % 0 ms", OURS, 0.031, 0.045, 0.06, None, 4.1, 88.2),
        Heard("10 % 0 ms", NETEQ, 0.05, 0.03, 0.09, None, 4.15, None),
        Heard("5 % 0 ms", OURS, 0.01, 0.0, 0.06, None, 4.3, 80.0),
        Heard("0 % 0 ms (100 ms for 3 s)", OURS, 0.0, 0.0, 0.06, 1.26, None, 80.0),
    ],
    began=[
        {
            "client": "chromium",
            "variant": "stock",
            "steps": {
                "POST": {"median_ms": 105.0, "round_trips": 1.05},
                "first sound": {"median_ms": 490.0, "round_trips": 4.9},
                "session.created": {"median_ms": 740.0, "round_trips": 7.4},
            },
        },
        {
            "client": "libwebrtc",
            "variant": "stock",
            "steps": {"first sound": {"median_ms": 500.0, "round_trips": 5.0}},
        },
        {
            "client": "chromium",
            "variant": "dcid",
            "steps": {
                "POST": {"median_ms": 105.0, "round_trips": 1.05},
                "session.created": {"median_ms": 690.0, "round_trips": 6.9},
            },
        },
        {
            "client": "chromium",
            "variant": "SNAP",
            "steps": {
                "POST": {"median_ms": 105.0, "round_trips": 1.05},
                "session.created": {"median_ms": 430.0, "round_trips": 4.3},
            },
        },
        {"client": "gstreamer", "variant": "stock", "steps": {}},
    ],
    round_trip_ms=100.0,
)


def test_each_aim_has_its_figure_and_whether_it_was_met() -> None:
    assert {each.figure: (each.value, each.met) for each in aims(FIGURES)} == {
        "echo calls of a core, without losses": (120, True),
        "ms late at p99, 120 calls without losses": (2.5, True),
        "KiB a call, 120 calls without losses": (310.0, True),
        "echo calls of a core, with FEC and 5 % lost": (70, True),
        "ms late at p99, 70 calls with FEC and 5 % lost": (4.0, True),
        "KiB a call, 70 calls with FEC and 5 % lost": (320.0, True),
        "ms of silence, 10 % 0 ms": (45.0, False),
        "PLCMOS beside NetEQ's, 10 % 0 ms": (4.1, True),
        "s until the delay is back, 0 % 0 ms (100 ms for 3 s)": (1.26, True),
        "whole round trips until the first sound, chromium": (4, True),
        "whole round trips until the first sound, libwebrtc": (5, False),
        "ms from the answer until the first event, chromium, dcid": (585.0, False),
        "ms from the answer until the first event, chromium, SNAP": (325.0, True),
    }


@pytest.mark.parametrize("late", [2.5, 5.1])
def test_calls_that_are_late_do_not_count(late: float) -> None:
    figures = replace(FIGURES, carried=[replace(CLEAN, late_p99=late)])
    first = aims(figures)[0]
    assert (first.value, first.met) == ((120, True) if late < 5 else (0, False))


def test_what_was_not_measured_is_no_aim() -> None:
    assert aims(replace(FIGURES, carried=[], heard=[], round_trip_ms=50.0)) == []
