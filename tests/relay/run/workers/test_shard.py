"""Which worker a client belongs to, by Python and by the kernel."""

import os
import random
import select
import socket
from collections import Counter
from collections.abc import Iterator

import pytest

from relay.netns.host import Host
from relay.run.workers.reuseport import open_reuseport_group
from relay.run.workers.shard import Shard, shard_of
from relay.wire.endpoint import Endpoint

SEED = 0xC0FF_EE11
CLIENTS = 200
IFA_F_NODAD = 0x02  # linux/if_addr.h


@pytest.fixture
def host() -> Iterator[Host]:
    """A host with many addresses on its loopback."""
    made = Host(f"share-{os.getpid()}", "relay")
    made.create()
    with made.netlink() as netlink:
        netlink.link("set", index=1, state="up")
        # Without duplicate address detection, or it could not be bound for a moment.
        netlink.addr("add", index=1, address="2001:db8::1", prefixlen=32, flags=IFA_F_NODAD)
        netlink.route("add", dst="2001:db8::/32", type="local", oif=1, table=255)
    yield made
    made.remove()


def client_socket(chance: random.Random, vip: Endpoint) -> socket.socket:
    udp = socket.socket(vip.family, socket.SOCK_DGRAM)
    if vip.family == socket.AF_INET:
        udp.bind((f"127.{chance.randrange(256)}.{chance.randrange(256)}.7", 0))
    else:
        words = ":".join(f"{chance.randrange(1, 65536):x}" for _ in range(6))
        udp.setsockopt(socket.IPPROTO_IPV6, 78, 1)  # IPV6_FREEBIND
        udp.bind((f"2001:db8:{words}", 0))
    return udp


@pytest.mark.netns
@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize("vip_host", ["127.0.0.1", "2001:db8::1"], ids=["ipv4", "ipv6"])
def test_kernel_gives_each_client_to_its_owner(host: Host, vip_host: str, count: int) -> None:
    chance = random.Random(1)
    with host.inside():
        vip = Endpoint(vip_host, 3478)
        group = open_reuseport_group(vip, count, SEED)
        try:
            for _ in range(CLIENTS):
                with client_socket(chance, vip) as udp:
                    client = Endpoint.of(udp.getsockname())
                    udp.sendto(b"x", vip)
                    ready, _, _ = select.select(group, [], [], 5)
                    assert ready == [group[shard_of(client, count, SEED)]]
                    assert Endpoint.of(ready[0].recvfrom(10)[1]) == client
        finally:
            for each in group:
                each.close()


def test_clients_are_shared_out_evenly() -> None:
    clients = [Endpoint(f"203.0.113.{n % 256}", 1024 + n) for n in range(8000)]
    clients += [Endpoint(f"2001:db8::{n:x}", 5000) for n in range(8000)]
    shares = Counter(shard_of(client, 4, SEED) for client in clients)
    assert all(abs(number - 4000) < 250 for number in shares.values())


def test_seed_decides() -> None:
    clients = [Endpoint("203.0.113.1", port) for port in range(1024, 2024)]
    moved = sum(shard_of(client, 2, SEED) != shard_of(client, 2, SEED + 1) for client in clients)
    assert 400 < moved < 600


def test_each_client_has_one_share() -> None:
    client = Endpoint("203.0.113.1", 40_000)
    assert sum(Shard(index, 3, SEED).has(client) for index in range(3)) == 1
