"""What was found of one thing, and that what is wrong always comes with what mends it."""

import pytest

from relay.doctor.finding import Finding, Verdict, any_failed


@pytest.mark.parametrize("verdict", [Verdict.WARN, Verdict.FAIL])
def test_what_is_wrong_has_a_remedy(verdict: Verdict) -> None:
    with pytest.raises(ValueError, match="nothing says what mends it"):
        Finding("bpffs", verdict, "not mounted")


@pytest.mark.parametrize(
    ("sentence", "says", "fix"),
    [
        ("It needs root: run it with sudo.", "It needs root", "run it with sudo"),
        ("(xfrm: a) do not hold. Forward elsewhere.", "(xfrm: a) do not hold", "Forward elsewhere"),
        ("cannot read k: gone; make it", "cannot read k: gone", "make it"),
        ("name another", "name another", "name another"),
    ],
)
def test_a_sentence_ends_with_its_remedy(sentence: str, says: str, fix: str) -> None:
    assert Finding.told("a", Verdict.FAIL, sentence) == Finding("a", Verdict.FAIL, says, fix)


def test_only_what_failed_counts_as_failed() -> None:
    fine = [Finding.ok("a", "fine"), Finding.unknown("b", "unseen")]
    assert not any_failed([*fine, Finding("c", Verdict.WARN, "so-so", "mend it")])
    assert any_failed([*fine, Finding("c", Verdict.FAIL, "broken", "mend it")])
