"""Who follows a client, and what is left behind; tests/netns/test_trace.py has it under a load."""

import os

import pytest

from relay.dataplane.kernel import traces
from relay.dataplane.kernel.pins import Pins
from relay.errors import DataplaneError

LOCKS = """\
1: POSIX  ADVISORY  WRITE 500 00:1b:77 0 EOF
2: FLOCK  ADVISORY  WRITE 600 00:1b:77 0 EOF
2: -> FLOCK  ADVISORY  WRITE 601 00:1b:77 0 EOF
3: FLOCK  ADVISORY  WRITE -1 00:1c:78 0 EOF
4: FLOCK  ADVISORY  READ 700 08:101:79 0 EOF
"""


@pytest.mark.parametrize(
    ("device", "inode", "holder"),
    [
        ((0, 0x1B), 77, 600),
        ((0, 0x1B), 78, None),
        ((0, 0x1C), 78, None),  # of a process that is not seen from here
        ((8, 0x101), 79, 700),
    ],
)
def test_the_holder_of_a_lock(device: tuple[int, int], inode: int, holder: int | None) -> None:
    assert traces.holder_in(LOCKS, os.makedev(*device), inode) == holder


@pytest.mark.bpf
def test_there_is_one_at_a_time(pins: Pins) -> None:
    with (
        traces.only_trace(pins),
        pytest.raises(DataplaneError, match=rf"by process {os.getpid()} \(.*only one trace"),
        traces.only_trace(pins),
    ):
        pass
    with traces.only_trace(pins):
        pass


@pytest.mark.bpf
def test_nothing_is_cleared_up_while_somebody_follows(pins: Pins) -> None:
    traces.tails_of(pins).unlink(missing_ok=True)
    os.link(pins.tails, traces.tails_of(pins))
    with traces.only_trace(pins):
        traces.end_left(pins)
        assert traces.tails_of(pins).exists()
    traces.end_left(pins)
    assert not traces.tails_of(pins).exists()
