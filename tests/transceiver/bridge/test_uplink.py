"""What waits for a service that is slow, or away."""

from transceiver.bridge.uplink import MAX_EVENTS, MAX_SIZE, MAX_SOUNDS, Uplink


def test_events_and_sound_keep_their_order() -> None:
    uplink = Uplink()
    uplink.add_sound("sound 1")
    uplink.add("event")
    uplink.add_sound("sound 2")
    assert [uplink.pop() for _ in range(len(uplink))] == ["sound 1", "event", "sound 2"]


def test_of_too_much_sound_the_oldest_is_left_out() -> None:
    uplink = Uplink()
    uplink.add("first")
    for number in range(MAX_SOUNDS + 3):
        uplink.add_sound(f"sound {number}")
    assert uplink.left_out == 3
    assert len(uplink) == MAX_SOUNDS + 1
    assert (uplink.pop(), uplink.pop()) == ("first", "sound 3")
    uplink.add_sound("there is room again")
    assert uplink.left_out == 3


def test_events_are_refused_when_too_many_wait_or_they_are_too_long() -> None:
    uplink = Uplink()
    assert all(uplink.add("x") for _ in range(MAX_EVENTS))
    assert not uplink.add("x")
    uplink.pop()
    assert uplink.add("x")
    uplink = Uplink()
    assert uplink.add("x" * (MAX_SIZE + 1)), "one always fits"
    assert not uplink.add("x")
    uplink.pop()
    assert uplink.add("x")
    assert len(uplink) == 1
