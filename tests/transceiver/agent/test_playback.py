"""How loud the agent is at its client's."""

import numpy as np
import pytest

from transceiver.agent.playback import FRAME, MAX_FRAMES, Playback


def test_levels_come_frame_by_frame_and_then_it_is_silent() -> None:
    playback = Playback()
    loud = np.full(FRAME // 2, 16384, "<i2").tobytes()
    playback.add(loud + bytes(FRAME))
    playback.add(loud[: FRAME // 2])
    levels = [playback.next_level() for _ in range(4)]
    assert levels == pytest.approx([0.5, 0.0, 0.5, 0.0])


def test_what_is_cleared_is_not_played_and_there_is_an_end_to_what_is_kept() -> None:
    playback = Playback()
    for _ in range(2):
        playback.add(b"\1\0" * (FRAME // 2) * MAX_FRAMES)
    assert sum(playback.next_level() > 0 for _ in range(MAX_FRAMES + 1)) == MAX_FRAMES
    playback.add(bytes([1, 1]) * FRAME)
    playback.clear()
    assert playback.next_level() == 0.0
