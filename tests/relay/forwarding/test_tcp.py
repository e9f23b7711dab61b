"""Sockets on which clients connect, and what those have that are accepted from them."""

import resource
import socket

import pytest

from relay.errors import BindError
from relay.forwarding.tcp import affordable, bind_tcp
from relay.wire.endpoint import Endpoint
from tests.relay.forwarding.tcppair import TcpClient, listening


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_what_is_accepted_has_its_options(host: str) -> None:
    listener, address = listening(host)
    with listener, TcpClient(address):
        listener.setblocking(True)
        accepted, _ = listener.accept()
        with accepted:
            option = accepted.getsockopt
            assert option(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert option(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == 8_192
            assert option(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30_000
            assert option(socket.SOL_SOCKET, socket.SO_LINGER, 8) == b"\x01" + bytes(7)
            for buffer in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                assert option(socket.SOL_SOCKET, buffer) == 2 * 65_536  # Linux doubles it


def test_it_waits_for_nobody() -> None:
    listener, _ = listening()
    with listener, pytest.raises(BlockingIOError):
        listener.accept()


def test_an_address_of_another_process_is_told() -> None:
    listener, address = listening()
    with listener, pytest.raises(BindError, match=f"cannot listen on {address} for TCP: another"):
        bind_tcp(address)


def test_an_address_that_this_host_does_not_have_is_told() -> None:
    with pytest.raises(BindError, match="this host does not have that address"):
        bind_tcp(Endpoint("203.0.113.10", 3478))


def test_udp_has_the_same_port_beside_it() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        bind_tcp(Endpoint.of(udp.getsockname())).close()


def test_a_restarted_relay_has_its_address_back_at_once() -> None:
    """A connection that the relay has closed without a reset keeps the address for a minute."""
    listener, address = listening()
    with TcpClient(address) as client:
        listener.setblocking(True)
        accepted, _ = listener.accept()
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes(8))
        accepted.close()
        listener.close()
        client.tcp.setblocking(True)
        assert client.tcp.recv(1) == b""
    bind_tcp(address).close()


def test_connections_leave_files_for_the_rest() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (400, hard))
        assert affordable(1024) == 100
        assert affordable(99) == 99
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
