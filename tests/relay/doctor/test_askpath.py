"""How wide ways are, by the kernel."""

import socket

from relay.doctor import askpath


def test_the_loopback_is_wide() -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as there,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here,
    ):
        there.bind(("127.0.0.1", 0))
        here.connect(there.getsockname())
        askpath.probe(here)
        assert there.recv(2000) == bytes(1280 - 28)
        assert askpath.known(here) == 65_535  # the most that IPv4 has


def test_without_a_connection_nothing_is_known() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
        assert askpath.known(here) is None


def test_an_address_of_others_has_no_way() -> None:
    assert askpath.towards_clients("203.0.113.77") is None
