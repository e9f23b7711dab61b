"""What two agents of one user say to each other."""

import os
import socket
import tempfile
import threading
from collections.abc import Iterator

import pytest

from relay.errors import TakeoverError
from relay.run.takeover.channel import MOST_FILES, Channel

SOON = 0.05  # seconds
LONG = 20.0


@pytest.fixture
def pair() -> Iterator[tuple[Channel, Channel]]:
    ends = [Channel(each, LONG) for each in socket.socketpair()]
    yield ends[0], ends[1]
    for each in ends:
        each.close()


@pytest.fixture
def raw() -> Iterator[tuple[socket.socket, Channel]]:
    """An end that says what it likes, and one that waits for a moment."""
    here, there = socket.socketpair()
    channel = Channel(there, SOON)
    yield here, channel
    here.close()
    channel.close()


def test_messages_come_in_their_order_with_their_files(pair: tuple[Channel, Channel]) -> None:
    here, there = pair
    with tempfile.TemporaryFile() as one, tempfile.TemporaryFile() as other:
        here.send({"n": 1}, [one.fileno(), other.fileno()])
        here.send({"n": 2})
        here.send({"n": 3}, [other.fileno()])
        inodes = [os.fstat(each.fileno()).st_ino for each in (one, other, other)]
    found = []
    for number, count in ((1, 2), (2, 0), (3, 1)):
        message, files = there.receive()
        assert (message, len(files)) == ({"n": number}, count)
        assert not any(os.get_inheritable(each) for each in files)
        found += [os.fstat(each).st_ino for each in files]
        for each in files:
            os.close(each)
    assert found == inodes


def test_more_than_fits_into_the_kernel_at_once_arrives(pair: tuple[Channel, Channel]) -> None:
    here, there = pair
    text, fds = "x" * (1 << 20), [os.open(os.devnull, os.O_RDONLY) for _ in range(MOST_FILES)]

    def send() -> None:
        for _ in range(3):
            here.send({"text": text}, fds)

    sender = threading.Thread(target=send)
    sender.start()
    for _ in range(3):
        message, files = there.receive()
        assert (message, len(files)) == ({"text": text}, MOST_FILES)
        for each in files:
            os.close(each)
    sender.join(LONG)
    for each in fds:
        os.close(each)


def test_the_peer_is_told_by_the_kernel(pair: tuple[Channel, Channel]) -> None:
    assert pair[0].peer() == (os.getpid(), os.geteuid())


def test_an_end_is_told_in_words(pair: tuple[Channel, Channel]) -> None:
    pair[0].close()
    with pytest.raises(TakeoverError, match="has ended, or has given up"):
        pair[1].receive()
    with pytest.raises(TakeoverError, match="cannot be talked to: Broken pipe"):
        pair[1].send({})


@pytest.mark.parametrize("said", [b"", b'{"begun": '])
def test_who_says_nothing_whole_in_time_is_not_waited_for(
    raw: tuple[socket.socket, Channel], said: bytes
) -> None:
    raw[0].sendall(said)
    with pytest.raises(TakeoverError, match="does not answer in time"):
        raw[1].receive()


@pytest.mark.parametrize("said", [b"no JSON\n", b"[]\n", b"\xff\n", b'{"files": "two"}\n'])
def test_nonsense_is_refused_in_words(raw: tuple[socket.socket, Channel], said: bytes) -> None:
    raw[0].sendall(said)
    with pytest.raises(TakeoverError, match="what is no message"):
        raw[1].receive()


def test_files_that_did_not_arrive_are_missed(raw: tuple[socket.socket, Channel]) -> None:
    raw[0].sendall(b'{"files": 1}\n')
    with pytest.raises(TakeoverError, match="raise LimitNOFILE, or ulimit -n"):
        raw[1].receive()


def test_who_listens_no_more_knows_what_was_said_before(pair: tuple[Channel, Channel]) -> None:
    """One of both serves: either it was said, or it cannot be said any more."""
    pair[0].send({"serving": True})
    assert pair[1].listen_no_more()


def test_to_who_listens_no_more_nothing_can_be_said(pair: tuple[Channel, Channel]) -> None:
    assert not pair[1].listen_no_more()
    with pytest.raises(TakeoverError, match="Broken pipe"):
        pair[0].send({"serving": True})


def test_files_that_nobody_asked_for_are_closed(pair: tuple[Channel, Channel]) -> None:
    here, there = pair
    reading, writing = os.pipe()
    here.send({"n": 1})
    here.send({"n": 2}, [writing])
    os.close(writing)
    there.receive()
    there.close()
    here.close()
    assert os.read(reading, 1) == b""  # nobody has the other end any more
    os.close(reading)
