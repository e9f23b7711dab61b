"""A namespace pair joins this host to a namespace, and leaves nothing behind."""

import os
import secrets
import socket
import time
from collections.abc import Iterator

import pytest
from pyroute2 import IPRoute

from relay.errors import NetnsError
from relay.netns import pair
from relay.netns.host import Host
from relay.netns.pair import HOST_ADDRESS, NAMESPACE_ADDRESS, namespace_pair

pytestmark = pytest.mark.netns


@pytest.fixture
def name() -> Iterator[str]:
    """A name, for a test in a namespace of its own: the addresses of a pair are always the same."""
    around = Host(f"test-{os.getpid()}-{secrets.token_hex(2)}", "around")
    around.create()
    with around.inside():
        yield secrets.token_hex(3)
    around.remove()


def interfaces() -> set[str]:
    return {name for _, name in socket.if_nameindex()}


def test_both_ends_reach_each_other(name: str) -> None:
    with namespace_pair(name) as (host, interface):
        with host.inside():
            there = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            there.bind((str(NAMESPACE_ADDRESS.ip), 0))
        with there, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
            for udp in (here, there):
                udp.settimeout(5)
            here.sendto(b"there", there.getsockname())
            data, source = there.recvfrom(100)
            assert (data, source[0]) == (b"there", str(HOST_ADDRESS.ip))
            there.sendto(b"and back", source)
            assert here.recv(100) == b"and back"
        assert interface in interfaces()


def test_nothing_is_left_in_the_end(name: str) -> None:
    with namespace_pair(name) as (host, interface):
        assert host.exists()
    assert not host.exists()
    deadline = time.monotonic() + 5
    while interface in interfaces():  # the kernel takes a namespace down a moment later
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_nothing_is_left_when_its_user_fails_and_the_error_is_not_explained_away(name: str) -> None:
    with pytest.raises(PermissionError), namespace_pair(name) as (host, _):
        raise PermissionError
    assert not host.exists()


def test_what_a_killed_process_left_is_replaced(name: str) -> None:
    left = Host("transceiver", name)
    left.create()
    with left.inside():
        old = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with old, namespace_pair(name) as (host, _):
        assert host == left
        with host.inside():
            assert "eth0" in interfaces()


def test_an_interface_that_goes_by_itself_meanwhile_is_none_to_remove() -> None:
    """The kernel removes what was in a namespace that has gone, some time later."""
    with IPRoute() as netlink:
        pair._remove(netlink, 2**31 - 1)  # one that is not there any more


@pytest.mark.usefixtures("name")
def test_one_that_the_kernel_refuses_is_explained_and_nothing_is_left() -> None:
    with (
        pytest.raises(NetnsError, match="The transceiver's network could not be made"),
        namespace_pair("a b"),  # no name for an interface
    ):
        pass
    assert not Host("transceiver", "a b").exists()
