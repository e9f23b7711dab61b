"""Clients that send no checks of consent hear on, longer than a consent lives."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.clients import scenarios, stimulus
from tests.lab.clients.kinds import KINDS
from tests.lab.clients.stage import CONNECT_SECONDS, START_SECONDS, Stage, until
from tests.lab.config import Options
from tests.lab.lab import Lab
from transceiver.consent import CONSENT_LIFETIME

pytestmark = [pytest.mark.e2e, pytest.mark.netns, pytest.mark.bpf]

# libnice checks no more after the first answers, Pion when it has heard nothing for 2 s.
UNCHECKING = ("gstreamer", "pion")
LONGER_MS = 1000.0  # than any gap of a busy machine; without consent there were 2200


@pytest.mark.parametrize("client", UNCHECKING)
def test_who_does_not_check_hears_on(
    bring_up: Callable[[Options], Lab], tmp_path: Path, client: str
) -> None:
    kind = KINDS[client]
    if (missing := kind.missing()) is not None:
        pytest.skip(f"{client} {missing}")
    lab = bring_up(scenarios.options("xdp"))
    with Stage(lab, [kind], stimulus.write(tmp_path)) as stage:
        (member,) = stage.members
        until(
            lambda: bool(stage.arrivals(member)),
            time.time() + START_SECONDS + CONNECT_SECONDS,
            "sound",
        )
        first = stage.arrivals(member)[0]
        enough = first + CONSENT_LIFETIME + 5.0
        until(lambda: time.time() > enough, enough + 1.0, "end of the first consent's life")
        assert stage.gap_ms(member, first) < LONGER_MS
