"""The workers' sockets on one VIP; that the kernel gives each its clients is in test_shard.py."""

import select
import socket
from contextlib import ExitStack
from typing import Any

import pytest

from relay.errors import BindError
from relay.forwarding.udp import bind_udp
from relay.run.workers import reuseport
from relay.run.workers.reuseport import open_reuseport_group
from relay.run.workers.shard import shard_of
from relay.wire.endpoint import Endpoint
from tests.ports import free_port

SEED = 0xC0FF_EE11


@pytest.fixture(params=["127.0.0.1", "::1"], ids=["IPv4", "IPv6"])
def vip(request: pytest.FixtureRequest) -> Endpoint:
    return Endpoint(request.param, free_port(request.param))


def test_each_worker_has_a_socket_on_the_vip(vip: Endpoint) -> None:
    with ExitStack() as stack:
        group = [stack.enter_context(udp) for udp in open_reuseport_group(vip, 3, SEED)]
        assert [Endpoint.of(udp.getsockname()) for udp in group] == [vip] * 3


def test_a_client_reaches_one_of_them_only(vip: Endpoint) -> None:
    with ExitStack() as stack:
        group = [stack.enter_context(udp) for udp in open_reuseport_group(vip, 4, SEED)]
        client = stack.enter_context(socket.socket(vip.family, socket.SOCK_DGRAM))
        client.bind((vip.host, 0))
        owner = group[shard_of(Endpoint.of(client.getsockname()), 4, SEED)]
        for number in range(20):
            client.sendto(bytes([number]), vip)
            ready, _, _ = select.select(group, [], [], 5)
            assert ready == [owner]
            assert owner.recv(10) == bytes([number])


def test_nothing_comes_to_a_worker_while_others_have_no_socket_yet(
    vip: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client's flow would be at two workers: at one that got its packet then, and at its own."""
    with ExitStack() as stack:
        clients = [stack.enter_context(bind_udp(vip._replace(port=0))) for _ in range(8)]

        def bind_while_clients_send(*args: Any, **options: Any) -> socket.socket:
            bound = bind_udp(*args, **options)
            for client in clients:
                client.sendto(b"early", vip)
            return bound

        monkeypatch.setattr(reuseport, "bind_udp", bind_while_clients_send)
        group = [stack.enter_context(udp) for udp in open_reuseport_group(vip, 3, SEED)]
        for client in clients:
            client.sendto(b"late", vip)
        for client in clients:
            address = Endpoint.of(client.getsockname())
            udp = group[shard_of(address, 3, SEED)]
            udp.settimeout(5)
            assert udp.recvfrom(10)[0] == b"late"
        assert select.select(group, [], [], 0)[0] == []


def test_datagrams_wait_in_the_socket_of_a_worker_that_does_not_read(vip: Endpoint) -> None:
    """So a worker can be started again; its socket is not closed meanwhile."""
    with ExitStack() as stack:
        group = [stack.enter_context(udp) for udp in open_reuseport_group(vip, 2, SEED)]
        client = stack.enter_context(socket.socket(vip.family, socket.SOCK_DGRAM))
        client.bind((vip.host, 0))
        client.sendto(b"waits", vip)
        owner = group[shard_of(Endpoint.of(client.getsockname()), 2, SEED)]
        owner.settimeout(5)
        assert owner.recv(10) == b"waits"


def test_vip_of_another_relay_is_not_joined() -> None:
    with bind_udp(Endpoint("127.0.0.1", 0), share_port=True) as other:
        vip = Endpoint.of(other.getsockname())
        with pytest.raises(BindError, match="another process has that port"):
            open_reuseport_group(vip, 2, SEED)


def test_an_address_of_another_host_is_refused_in_words() -> None:
    with pytest.raises(BindError, match="this host does not have that address"):
        open_reuseport_group(Endpoint("192.0.2.77", 3478), 2, SEED)


def test_a_group_that_the_kernel_refuses_leaves_the_port_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vip = Endpoint("127.0.0.1", free_port())
    monkeypatch.setattr(reuseport, "reuseport_program", lambda *_: b"\xff" * 8)
    with pytest.raises(
        BindError, match="cannot be shared among workers: Invalid argument"
    ) as caught:
        open_reuseport_group(vip, 2, SEED)
    bind_udp(vip).close()  # while `caught` keeps what the function had
    assert isinstance(caught.value.__cause__, OSError)
