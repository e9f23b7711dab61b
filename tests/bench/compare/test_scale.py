"""A run can be limited to some systems and benchmarks."""

import pytest

from tests.bench.compare.report.sections import SECTIONS
from tests.bench.compare.report.targets import TARGETS
from tests.bench.compare.scale import FULL, QUICK, Scale, ScaleError

BOTH = pytest.mark.parametrize("scale", [FULL, QUICK])


def selected(systems: list[str] | None, benchmarks: list[str] | None) -> set[tuple[str, str]]:
    groups = FULL.select(systems, benchmarks)
    return {(each.system.name, each.name) for group in groups for each in group}


@BOTH
def test_every_benchmark_is_reported(scale: Scale) -> None:
    assert set(scale.names) == {section.benchmark for section in SECTIONS}


@BOTH
def test_every_reference_is_measured(scale: Scale) -> None:
    measured = {each.name for each in scale.systems}
    assert {section.reference for section in SECTIONS if section.reference} <= measured


def test_a_part() -> None:
    assert selected(["icelane userspace"], ["rate", "continuity"]) == {
        ("icelane userspace", "1 flow"),
        ("icelane userspace", "100 flows"),
        ("icelane userspace", "1,000 flows"),
        ("icelane userspace", "10,000 flows"),
        ("icelane userspace", "continuity"),
    }


def test_nothing_means_all() -> None:
    everything = selected([], None)
    assert {system for system, _ in everything} == {each.name for each in FULL.systems}
    assert ("icelane xdp", "1,000,000 flows") in everything
    assert ("coturn", "1,000,000 flows") not in everything


@pytest.mark.parametrize(
    ("systems", "benchmarks", "text"),
    [
        (["varnish"], [], "no system 'varnish'; there are icelane xdp, "),
        ([], ["speed"], "no benchmark 'speed'; there are rate, "),
    ],
)
def test_an_unknown_name_is_refused(systems: list[str], benchmarks: list[str], text: str) -> None:
    with pytest.raises(ScaleError, match=text):
        FULL.select(systems, benchmarks)


def test_every_target_has_a_text_of_its_own() -> None:
    assert len({target.text for target in TARGETS}) == len(TARGETS)
