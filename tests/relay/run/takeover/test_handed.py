"""The sockets that a successor is given before it takes over."""

import os
import socket
from collections.abc import Iterator

import pytest

from relay.run.takeover.handed import HandedSockets, opened_sockets
from relay.wire.endpoint import Endpoint

VIP, OTHER = Endpoint("203.0.113.10", 3478), Endpoint("2001:db8::1", 3478)
TCP, METRICS = Endpoint("203.0.113.10", 443), Endpoint("127.0.0.1", 9100)


@pytest.fixture
def handed() -> Iterator[HandedSockets]:
    two, three = [socket.socket() for _ in range(2)], [socket.socket() for _ in range(3)]
    found = HandedSockets(
        {VIP: two, OTHER: [three[0]]},
        {TCP: three[1]},
        {METRICS: three[2]},
        {socket.AF_INET: socket.socket()},
    )
    yield found
    found.close()


def inodes(handed: HandedSockets) -> list[tuple[str, str, int]]:
    return [(kind, where, os.fstat(each.fileno()).st_ino) for kind, where, each in handed]


def test_what_is_described_comes_back_with_its_files(handed: HandedSockets) -> None:
    files = [os.dup(each.fileno()) for _, _, each in handed]
    again = HandedSockets.of(handed.describe(), files)
    assert inodes(again) == inodes(handed)
    assert not any(each.getblocking() for _, _, each in again)
    again.close()


def test_what_is_not_wanted_is_closed(handed: HandedSockets) -> None:
    """A VIP that the new settings lack: nobody would read what comes to it."""
    wanted = handed.only((VIP,), (), METRICS)
    assert [(kind, where) for kind, where, _ in wanted] == [
        *[("vip", str(VIP))] * 2,
        ("metrics", str(METRICS)),
        ("steered", str(int(socket.AF_INET))),
    ]
    closed = [where for _, where, each in handed if each.fileno() < 0]
    assert closed == [str(OTHER), str(TCP)]


@pytest.mark.parametrize("described", [{}, {"sockets": [["vip"]]}, {"sockets": [["strange", "x"]]}])
def test_nonsense_is_refused(described: dict[str, object]) -> None:
    with pytest.raises((ValueError, KeyError)), socket.socket() as one:
        HandedSockets.of(described, [os.dup(one.fileno())])


def test_what_is_no_socket_is_refused_and_nothing_stays_open() -> None:
    with socket.socket() as one:
        files = [os.dup(one.fileno()), os.open(os.devnull, os.O_RDONLY), os.dup(one.fileno())]
    with pytest.raises(OSError, match="socket"):
        opened_sockets(files)
    for each in files:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(each)
