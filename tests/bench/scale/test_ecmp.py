"""Whom a change of the members moves: the closed forms."""

from random import Random

import pytest

from tests.bench.scale.ecmp import SPACE, HashThreshold, Resilient, Spread


def moved(spread: Spread[str], change: str, member: str) -> float:
    random = Random(1)
    hashes = [random.randrange(SPACE) for _ in range(100_000)]
    before = [spread.of(each) for each in hashes]
    getattr(spread, change)(member)
    after = [spread.of(each) for each in hashes]
    return sum(a != b for a, b in zip(before, after, strict=True)) / len(hashes)


@pytest.mark.parametrize("members", [2, 3, 7])
def test_a_resilient_group_moves_one_share(members: int) -> None:
    spread = Resilient([str(each) for each in range(members)])
    assert moved(spread, "add", "new") == pytest.approx(1 / (members + 1), abs=0.01)
    assert moved(spread, "remove", "new") == pytest.approx(1 / (members + 1), abs=0.01)


@pytest.mark.parametrize("members", [2, 3, 7])
def test_at_the_end_thresholds_move_half(members: int) -> None:
    spread = HashThreshold([str(each) for each in range(members)])
    assert moved(spread, "add", "new") == pytest.approx(1 / 2, abs=0.01)
    assert moved(spread, "remove", "new") == pytest.approx(1 / 2, abs=0.01)


@pytest.mark.parametrize("members", [3, 5])
def test_in_the_middle_thresholds_move_the_least(members: int) -> None:
    # RFC 2992, section 3: at best 1/4 + 1/(4 N).
    spread = HashThreshold([str(each) for each in range(members)])
    share = moved(spread, "remove", str(members // 2))
    assert share == pytest.approx(1 / 4 + 1 / (4 * members), abs=0.01)


@pytest.mark.parametrize("kind", [HashThreshold, Resilient])
def test_all_get_equal_shares(kind: type[Spread[str]]) -> None:
    spread = kind(["a", "b", "c"])  # type: ignore[call-arg]
    spread.add("d")
    spread.remove("b")
    random = Random(2)
    found = [spread.of(random.randrange(SPACE)) for _ in range(30_000)]
    for member in "acd":
        assert found.count(member) / len(found) == pytest.approx(1 / 3, abs=0.015)


@pytest.mark.parametrize("kind", [HashThreshold, Resilient])
def test_whoever_does_not_move_stays_where_he_was(kind: type[Spread[str]]) -> None:
    spread = kind(["a", "b", "c"])  # type: ignore[call-arg]
    assert spread.of(0) == "a"
    spread.remove("c")
    assert spread.of(0) == "a"
    assert "c" not in {spread.of(SPACE * each // 100) for each in range(100)}
