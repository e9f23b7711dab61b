"""Packets of JSON between an agent and its helper, with descriptors."""

import errno
import os
import socket
from collections.abc import Callable, Iterator

import pytest

from relay.run.helper import wire
from tests.relay.run.helper.conftest import no_free_file

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with one, other:
        yield one, other


def test_messages_stay_apart_and_bring_their_descriptors(pair: Pair) -> None:
    with open(os.devnull, "rb") as file:  # noqa: PTH123
        wire.send(pair[0], {"do": "this"}, [file.fileno()])
    wire.send(pair[0], {"do": "that"})
    message, files = wire.receive(pair[1])
    assert (message, len(files)) == ({"do": "this"}, 1)
    assert os.fstat(files[0]).st_rdev == os.stat(os.devnull).st_rdev  # noqa: PTH116
    assert not os.get_inheritable(files[0])
    os.close(files[0])
    assert wire.receive(pair[1]) == ({"do": "that"}, [])


@pytest.mark.parametrize("data", [b"no JSON", b"[]", b"7", b"[" * 100_000, b"\xff"])
def test_what_is_no_message_is_refused_and_its_descriptors_closed(
    pair: Pair, open_files: Callable[[], int], data: bytes
) -> None:
    before = open_files()
    socket.send_fds(pair[0], [data], [0])
    with pytest.raises(ValueError, match="no message"):
        wire.receive(pair[1])
    assert open_files() == before


def test_a_message_whose_descriptors_find_no_free_file_costs_itself_alone(
    pair: Pair, open_files: Callable[[], int]
) -> None:
    before = open_files()
    wire.send(pair[0], {"value": None}, [0, 0])
    wire.send(pair[0], {"value": 1})
    with no_free_file(), pytest.raises(OSError, match="Too many open files") as caught:
        wire.receive(pair[1])
    assert caught.value.errno == errno.EMFILE
    assert open_files() == before
    assert wire.receive(pair[1]) == ({"value": 1}, [])


def test_nothing_is_sent_of_what_is_too_long(pair: Pair) -> None:
    with pytest.raises(OSError, match="Message too long"):
        wire.send(pair[0], {"do": "x" * wire.MOST})
    wire.send(pair[0], {"do": "this"})
    assert wire.receive(pair[1]) == ({"do": "this"}, [])


def test_what_is_too_long_is_refused(pair: Pair) -> None:
    pair[0].send(b'"' + b"x" * wire.MOST + b'"')
    with pytest.raises(ValueError, match="no message"):
        wire.receive(pair[1])


def test_the_other_ends_end_is_told(pair: Pair) -> None:
    pair[0].close()
    with pytest.raises(EOFError):
        wire.receive(pair[1])
    with pytest.raises(BrokenPipeError):
        wire.send(pair[1], {})
