"""A STUN server is asked from where it sees this host, with and without a NAT between."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from relay.doctor import askstun
from relay.errors import ConfigError
from relay.netns.host import Host
from relay.wire.endpoint import Endpoint
from relay.wire.stun import BINDING, Attribute, Message, MessageClass, xor_address
from tests.lab import nat, topology
from tests.lab.topology import CLIENT, NAT, PUBLIC, RELAY, address
from tests.ports import free_port


@contextmanager
def serving(udp: socket.socket) -> Iterator[Endpoint]:
    """A STUN server (RFC 8489, section 12) at a socket."""
    loop = asyncio.get_running_loop()

    def answer() -> None:
        data, source = udp.recvfrom(2048)
        request = Message.parse(data)
        value = xor_address(Endpoint.of(source), request.transaction_id)
        mapped = ((Attribute.XOR_MAPPED_ADDRESS, value),)
        stray = Message(MessageClass.SUCCESS, BINDING, bytes(12), mapped)
        success = Message(MessageClass.SUCCESS, BINDING, request.transaction_id, mapped)
        for each in (b"junk", stray.serialize(), success.serialize()):
            udp.sendto(each, source)

    loop.add_reader(udp, answer)
    try:
        yield Endpoint.of(udp.getsockname())
    finally:
        loop.remove_reader(udp)


def bound(host: str) -> socket.socket:
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind((host, 0))
    return udp


async def test_without_a_nat_it_sees_what_was_bound() -> None:
    with bound("127.0.0.1") as udp, serving(udp) as server:
        (seen,) = await askstun.ask(str(server), ["127.0.0.1", "::1", "127.0.0.1"])
        (named,) = await askstun.ask(f"localhost:{server.port}", ["127.0.0.1"])
    assert seen.seen == seen.local
    assert named.seen == named.local


@pytest.fixture
def behind_nat(network_name: str) -> dict[str, Host]:
    topology.build(network_name, nat.BEHIND_NAT)
    hosts = topology.hosts(network_name, nat.BEHIND_NAT)
    nat.translate(hosts[NAT])
    return hosts


@pytest.mark.netns
async def test_behind_a_nat_it_sees_the_other_side(behind_nat: dict[str, Host]) -> None:
    hosts = behind_nat
    with hosts[CLIENT].inside():
        udp = bound(address(CLIENT, PUBLIC))
    with udp, serving(udp) as server, hosts[RELAY].inside():
        (seen,) = await askstun.ask(str(server), [nat.private()])
    assert seen.local.host == nat.private()
    assert seen.seen == Endpoint(nat.public(), seen.local.port)


async def test_where_none_answers_that_is_told() -> None:
    (refused,) = await askstun.ask(f"127.0.0.1:{free_port()}", ["127.0.0.1"])
    assert (refused.seen, refused.why) == (None, "Connection refused")
    (foreign,) = await askstun.ask("127.0.0.1:9", ["192.0.2.77"])
    assert "does not have that address" in foreign.why


@pytest.mark.parametrize("server", ["localhost", "127.0.0.1:x", "no.such.invalid:3478"])
async def test_what_is_no_server_is_refused(server: str) -> None:
    with pytest.raises(ConfigError, match="--stun"):
        await askstun.ask(server, ["127.0.0.1"])
