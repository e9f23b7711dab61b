"""The agent's UDP sockets: how they are bound, and what is said when they cannot be."""

import errno
import socket
import struct
from collections import Counter

import pytest

from relay.errors import BindError
from relay.forwarding.udp import (
    BUFFER_SIZE,
    attach_filter,
    bind_udp,
    count_failure,
)
from relay.linux import IP_MTU_DISCOVER, IPV6_MTU_DISCOVER, PMTUDISC_OMIT
from relay.wire.endpoint import Endpoint

V4, V6 = Endpoint("127.0.0.1", 0), Endpoint("::1", 0)
SO_ATTACH_FILTER = 26  # asm-generic/socket.h
BIND_FAILURES = [
    (Endpoint("192.0.2.1", 5000), "this host does not have that address"),
    (Endpoint("2001:db8::1", 5000), "this host does not have that address"),
]


@pytest.mark.parametrize("local", [V4, V6], ids=["ipv4", "ipv6"])
def test_a_bound_socket_does_not_block_and_ignores_learnt_path_mtus(local: Endpoint) -> None:
    with bind_udp(local) as udp:
        assert Endpoint.of(udp.getsockname()).host == local.host
        with pytest.raises(BlockingIOError):
            udp.recv(1)
        option = {
            socket.AF_INET: (socket.IPPROTO_IP, IP_MTU_DISCOVER),
            socket.AF_INET6: (socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER),
        }[local.family]
        assert udp.getsockopt(*option) == PMTUDISC_OMIT


@pytest.mark.netns  # as root, whom net.core.rmem_max does not limit
def test_its_buffers_hold_a_burst() -> None:
    with bind_udp(V4) as udp:
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            assert udp.getsockopt(socket.SOL_SOCKET, option) == 2 * BUFFER_SIZE  # as socket(7) says


def test_both_families_may_have_the_same_port() -> None:
    with bind_udp(Endpoint("::", 0)) as wide:
        port = wide.getsockname()[1]
        bind_udp(Endpoint("127.0.0.1", port)).close()


def test_a_port_is_shared_only_where_all_want_that() -> None:
    with bind_udp(V4, share_port=True) as first:
        local = Endpoint.of(first.getsockname())
        bind_udp(local, share_port=True).close()
        with pytest.raises(BindError, match="another process has that port") as refused:
            bind_udp(local)
    cause = refused.value.__cause__
    assert isinstance(cause, OSError)
    assert cause.errno == errno.EADDRINUSE


@pytest.mark.parametrize(("local", "text"), BIND_FAILURES)
def test_the_reason_is_in_plain_words(local: Endpoint, text: str) -> None:
    with pytest.raises(BindError, match=f"cannot bind .*: {text}"):
        bind_udp(local)


def test_a_filter_decides_what_a_socket_receives() -> None:
    nothing = struct.pack("@HBBI", 0x06, 0, 0, 0)  # BPF_RET | BPF_K, 0
    with bind_udp(V4) as filtered, bind_udp(V4) as open_socket, bind_udp(V4) as sender:
        attach_filter(filtered, SO_ATTACH_FILTER, nothing)
        for udp in (filtered, open_socket):
            sender.sendto(b"data", udp.getsockname())
        assert open_socket.recv(10) == b"data"
        with pytest.raises(BlockingIOError):
            filtered.recv(10)
        with pytest.raises(OSError, match="Invalid argument"):
            attach_filter(filtered, SO_ATTACH_FILTER, bytes(8))  # no return


def test_failures_are_counted_by_the_kernels_name_for_them() -> None:
    counters: Counter[str] = Counter()
    for number in (errno.ECONNREFUSED, errno.ECONNREFUSED, errno.ENOBUFS, None):
        count_failure(counters, number)
    assert counters == {
        "send_failed_econnrefused": 2,
        "send_failed_enobufs": 1,
        "send_failed_unknown": 1,
    }
