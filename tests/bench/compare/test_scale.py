"""A run may be told to measure a part of everything."""

import pytest

from tests.bench.compare.catalogue import SUBJECTS
from tests.bench.compare.scale import FULL, QUICK, Scale, ScaleError
from tests.bench.compare.targets import AIMS

BOTH = pytest.mark.parametrize("scale", [FULL, QUICK])


@BOTH
def test_all_that_is_asked_is_reported(scale: Scale) -> None:
    assert set(scale.names()) == {subject.question for subject in SUBJECTS}


@BOTH
def test_everybody_that_is_compared_with_takes_part(scale: Scale) -> None:
    everybody = {each.name for each in scale.contestants}
    everybody |= {each.contestant for each in scale.system}
    assert {subject.reference for subject in SUBJECTS if subject.reference} <= everybody


def test_a_part() -> None:
    part = FULL.only(["icelane xdp"], ["rate", "continuity"])
    assert [each.name for each in part.contestants] == ["icelane xdp"]
    assert {each.name for each in part.questions} == {"rate"}
    assert [(each.name, each.contestant) for each in part.system] == [("continuity", "icelane xdp")]
    assert part.plan(None).rounds == FULL.rounds
    assert part.plan(7).rounds == 7


def test_nothing_means_all() -> None:
    assert FULL.only([], None) == FULL


@pytest.mark.parametrize(
    ("contestants", "questions", "text"),
    [
        (["varnish"], [], "no contestant 'varnish'; there are icelane xdp, "),
        ([], ["speed"], "no question 'speed'; there are rate, "),
    ],
)
def test_an_unknown_name_is_refused(
    contestants: list[str], questions: list[str], text: str
) -> None:
    with pytest.raises(ScaleError, match=text):
        FULL.only(contestants, questions)


def test_every_aim_has_a_text_of_its_own() -> None:
    assert len({aim.text for aim in AIMS}) == len(AIMS)
