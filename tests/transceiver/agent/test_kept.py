"""Sessions that are kept: for how long, how many, and for whom."""

from transceiver.agent.kept import KeptSessions

A, B, C = ("a" * 43, "b" * 43, "c" * 43)


def test_a_name_gives_its_session_once() -> None:
    kept: KeptSessions[str] = KeptSessions()
    assert kept.add(A, "one", 10, now=0.0) == []
    assert kept.take(B, now=1.0) is None
    assert (kept.knows(A, 29.9), kept.knows(A, 30.0), kept.knows(B, 0.0)) == (True, False, False)
    assert kept.take(A, now=1.0) == "one"
    assert kept.take(A, now=1.0) is None


def test_a_session_is_kept_for_so_long() -> None:
    kept: KeptSessions[str] = KeptSessions(seconds=30.0)
    kept.add(A, "one", 10, now=0.0)
    kept.add(B, "two", 10, now=5.0)
    assert kept.expire(29.9) == []
    assert kept.expire(30.0) == ["one"]
    assert kept.take(B, now=35.0) is None, "also before anybody has looked"
    assert kept.expire(35.0) == ["two"]
    assert len(kept) == 0


def test_the_oldest_makes_room_where_there_are_many() -> None:
    kept: KeptSessions[str] = KeptSessions(most=2)
    kept.add(A, "one", 10, now=0.0)
    kept.add(B, "two", 10, now=1.0)
    assert kept.add(C, "three", 10, now=2.0) == ["one"]
    assert kept.take(B, now=2.0) == "two"


def test_the_oldest_make_room_where_they_are_large() -> None:
    kept: KeptSessions[str] = KeptSessions(max_size=100)
    kept.add(A, "one", 60, now=0.0)
    assert kept.add(B, "two", 60, now=1.0) == ["one"]
    assert kept.add(C, "huge", 101, now=2.0) == ["two", "huge"]
    assert len(kept) == 0


def test_a_name_that_is_used_again_is_of_the_last_session() -> None:
    kept: KeptSessions[str] = KeptSessions()
    kept.add(A, "one", 10, now=0.0)
    assert kept.add(A, "two", 10, now=1.0) == ["one"]
    assert kept.take(A, now=1.0) == "two"


def test_all_of_them_end_together() -> None:
    kept: KeptSessions[str] = KeptSessions()
    kept.add(A, "one", 10, now=0.0)
    kept.add(B, "two", 10, now=0.0)
    assert kept.clear() == ["one", "two"]
    assert kept.take(A, now=0.0) is None


def test_names_are_not_held() -> None:
    kept: KeptSessions[str] = KeptSessions()
    kept.add(A, "one", 10, now=0.0)
    assert A not in repr(vars(kept))
