"""Ports for servers of tests."""

import socket
from pathlib import Path

import pytest

from relay.run.config import DEFAULT_PORTS, DEFAULT_TCP_PORTS
from tests.ports import PORTS, free_port


def test_no_client_and_no_relay_takes_such_a_port() -> None:
    first, last = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    assert not set(PORTS) & set(range(int(first), int(last) + 1))
    assert not set(PORTS) & {*DEFAULT_PORTS, *DEFAULT_TCP_PORTS}


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_a_port_that_somebody_has_is_passed_over(kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", free_port()))
        found = {free_port() for _ in PORTS}
        assert taken.getsockname()[1] not in found
        assert found < set(PORTS)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_each_port_is_another_one(host: str) -> None:
    assert free_port(host) != free_port(host)
