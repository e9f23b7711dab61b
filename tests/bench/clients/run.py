"""Clients through the scenarios, one by one or at once, over both dataplanes."""

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.bench.errors import BenchError
from tests.lab.clients import scenarios, stimulus
from tests.lab.clients.kinds import KINDS, Kind
from tests.lab.clients.outcome import Outcome, Scenario, Verdict
from tests.lab.errors import LabError
from tests.lab.lab import Lab

DATAPLANES = ("xdp", "userspace")

Progress = Callable[[str], None]


def select(names: Sequence[str] | None) -> list[Kind]:
    """The kinds of clients by their names; all without any.

    Raises:
        BenchError: There is no such kind.
    """
    try:
        return [KINDS[name] for name in names or KINDS]
    except KeyError as error:
        known = ", ".join(KINDS)
        raise BenchError(f"there is no client {error.args[0]!r}: use {known}") from None


def measure(
    kinds: Sequence[Kind], dataplanes: Sequence[str], progress: Progress, *, together: bool
) -> list[Outcome]:
    """What came of all scenarios, by dataplane and client.

    Args:
        kinds: The clients; those that this machine lacks something for are told as such.
        dataplanes: The dataplanes.
        progress: Told each step.
        together: Whether they call at the same time, as in CI, where time matters.

    Raises:
        BenchError: There is no such dataplane, or a lab cannot be made.
    """
    if unknown := set(dataplanes) - set(DATAPLANES):
        raise BenchError(f"there is no dataplane {min(unknown)!r}: use {' or '.join(DATAPLANES)}")
    present = [kind for kind in kinds if kind.missing() is None]
    groups = [present] if together else [[kind] for kind in present]
    outcomes = []
    with tempfile.TemporaryDirectory() as directory:
        tones = stimulus.write(Path(directory))
        for dataplane in dataplanes:
            for kind in kinds:
                outcomes += _absent(kind, dataplane)
            for group in groups:
                names = ", ".join(kind.name for kind in group)
                progress(f"{dataplane}: {names}")
                outcomes += _one_lab(dataplane, group, tones)
    order = list(KINDS)
    return sorted(
        outcomes, key=lambda each: (dataplanes.index(each.dataplane), order.index(each.client))
    )


def _one_lab(dataplane: str, kinds: Sequence[Kind], tones: stimulus.Stimulus) -> list[Outcome]:
    lab = Lab(f"clients-{os.getpid()}")
    try:
        lab.up(scenarios.options(dataplane))
        return scenarios.run(lab, kinds, tones)
    except LabError as error:
        raise BenchError(f"the lab failed: {error}") from None
    finally:
        lab.down()


def _absent(kind: Kind, dataplane: str) -> list[Outcome]:
    missing = kind.missing()
    if missing is None:
        return []
    return [
        Outcome(kind.name, dataplane, scenario, Verdict.CANNOT, missing) for scenario in Scenario
    ]
