"""Sound that waits to be played: at pace, in order, and accounted for by item."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transceiver.bridge.events import Sound
from transceiver.bridge.playout import MAX_WAITING, Playout
from transceiver.media.codec import FRAME_BYTES


def sound(frames: float, response: str = "r", item: str = "i", index: int = 0) -> Sound:
    return Sound(response, item, index, b"\1\0" * round(frames * FRAME_BYTES / 2))


def test_sound_that_comes_at_once_is_played_frame_by_frame() -> None:
    playout = Playout()
    playout.add(sound(50))
    playout.end("r")
    pulled = [playout.pull() for _ in range(51)]
    assert all(each and (len(each[0]), each[1]) == (FRAME_BYTES, "r") for each in pulled[:50])
    assert pulled[50] is None
    assert not playout.waits_for("r")


def test_a_frame_is_made_of_what_comes_in_pieces_of_any_length() -> None:
    playout = Playout()
    for piece in range(4):
        playout.add(Sound("r", "i", 0, bytes([piece]) * 241))
        if piece < 3:
            assert playout.pull() is None
    frame = playout.pull()
    assert frame is not None
    assert frame[0] == b"\0" * 241 + b"\1" * 241 + b"\2" * 241 + b"\3" * 237


def test_what_is_less_than_a_frame_waits_for_more_but_not_for_long() -> None:
    playout = Playout()
    playout.add(sound(0.5))
    pulled = [playout.pull() for _ in range(7)]
    assert [each is not None for each in pulled] == [False] * 5 + [True, False]
    assert pulled[5] is not None
    assert pulled[5][0][FRAME_BYTES // 2 :] == bytes(FRAME_BYTES // 2)


def test_the_end_of_a_part_is_played_at_once_and_half_a_sample_shifts_nothing() -> None:
    playout = Playout()
    playout.add(Sound("r", "i", 0, b"\1\1\1"))
    playout.end("r", ("i", 0))
    playout.add(Sound("r", "j", 0, b"\2\2"))
    playout.end("r")
    frame = playout.pull()
    assert frame is not None
    assert frame[0] == b"\1\1\2\2" + bytes(FRAME_BYTES - 4)
    assert playout.pull() is None
    assert playout.cut(0.0) == []


def test_a_cut_tells_what_was_heard_of_each_item() -> None:
    playout = Playout()
    playout.add(sound(10, item="first"))
    playout.add(sound(10, item="second", index=1))
    playout.add(sound(10, item="third"))
    for _ in range(13):
        assert playout.pull()
    assert playout.cut(0.015) == [("r", "second", 1, 45), ("r", "third", 0, 0)]
    assert playout.pull() is None
    assert playout.cut(0.0) == [], "once"


def test_an_item_that_is_being_made_is_cut_although_all_of_it_was_played() -> None:
    playout = Playout()
    playout.add(sound(5))
    for _ in range(8):
        playout.pull()
    assert playout.cut(0.5) == [("r", "i", 0, 0)]
    playout.add(sound(5, item="j"))
    playout.end("r")
    for _ in range(5):
        playout.pull()
    assert playout.cut(0.0) == [], "this one was heard to its end"


def test_an_item_goes_on_where_it_was_after_another_one() -> None:
    playout = Playout()
    for item in ("i", "j", "i"):
        playout.add(sound(2, item=item))
    for _ in range(5):
        assert playout.pull()
    assert playout.cut(0.0) == [("r", "i", 0, 60)]


def test_it_is_full_after_minutes_or_many_parts() -> None:
    playout = Playout()
    playout.add(Sound("r", "i", 0, bytes(MAX_WAITING - 2)))
    assert not playout.is_full
    playout.add(Sound("r", "i", 0, bytes(2)))
    assert playout.is_full
    playout.pull()
    assert not playout.is_full
    playout.cut(0.0)
    for part in range(256):
        playout.add(Sound("r", f"i{part}", 0, b"\1"))
    assert playout.is_full
    assert playout.pull() is None
    assert not playout.is_full


@pytest.mark.parametrize("ended", [False, True])
@given(pieces=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3000)), max_size=20))
def test_all_whole_samples_are_played_and_counted(
    ended: bool, pieces: list[tuple[int, int]]
) -> None:
    playout, played = Playout(), 0
    for item, size in pieces:
        playout.add(Sound("r", f"i{item}", 0, b"\1" * size))
        if playout.pull():
            played += 1
    if ended:
        playout.end("r")
    for _ in range(20 * 4):
        if playout.pull():
            played += 1
    total = sum(size for _, size in pieces)
    assert played * FRAME_BYTES <= total + FRAME_BYTES * (len(pieces) + 1)
    left = playout.cut(0.0)
    assert not ended or not left
    assert len(left) <= 1
    assert playout._waiting == 0
