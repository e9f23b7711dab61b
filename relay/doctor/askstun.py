"""Asks a STUN server from where it sees this host's addresses (RFC 8489): is there a NAT?"""

import asyncio
import secrets
import socket
from collections.abc import Collection
from contextlib import suppress

from relay.doctor.addresses import Mapped
from relay.errors import BindError, ConfigError, WireError
from relay.forwarding.udp import bind_udp
from relay.wire.endpoint import Endpoint
from relay.wire.stun import (
    BINDING,
    TRANSACTION_ID_SIZE,
    Attribute,
    Message,
    MessageClass,
    unxor_address,
)

_TRIES = 3
_WAIT = 0.5  # seconds for each


async def ask(server: str, hosts: Collection[str]) -> list[Mapped]:
    """What a STUN server sees of datagrams from each address.

    Args:
        server: ``HOST:PORT``; a name is looked up.
        hosts: This host's addresses.

    Raises:
        ConfigError: There is no such server.
    """
    name, _, port = server.rpartition(":")
    try:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(name.strip("[]"), int(port), type=socket.SOCK_DGRAM)
    except ValueError:
        raise ConfigError(f"--stun: {server!r} is no server: write HOST:PORT") from None
    except OSError as error:
        raise ConfigError(
            f"--stun: {server!r} is no server that can be found ({error.strerror}): correct its "
            "name, or DNS (/etc/resolv.conf)"
        ) from None
    servers = {family: Endpoint.of(address) for family, *_, address in reversed(found)}
    local = [Endpoint(host, 0) for host in dict.fromkeys(hosts)]
    asked = [_ask(servers[each.family], each) for each in local if each.family in servers]
    return list(await asyncio.gather(*asked))


async def _ask(server: Endpoint, local: Endpoint) -> Mapped:
    try:
        udp = bind_udp(local)
    except BindError as error:
        return Mapped(local, None, str(error))
    with udp:
        local = Endpoint.of(udp.getsockname())
        why = "no answer"
        for _ in range(_TRIES):
            try:
                udp.connect(server)
                seen = await _seen(udp)
            except TimeoutError:
                continue
            except OSError as error:
                why = error.strerror or str(error)
                continue
            return Mapped(local, seen)
    return Mapped(local, None, why)


async def _seen(udp: socket.socket) -> Endpoint:
    """What one request brings.

    Raises:
        OSError: The server refuses, or cannot be reached.
        TimeoutError: Nothing comes back.
    """
    transaction = secrets.token_bytes(TRANSACTION_ID_SIZE)
    udp.send(Message(MessageClass.REQUEST, BINDING, transaction).serialize())
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(_WAIT):
        while True:
            data = await loop.sock_recv(udp, 2048)
            with suppress(WireError):
                answer = Message.parse(data)
                value = answer.get(Attribute.XOR_MAPPED_ADDRESS)
                if answer.transaction_id == transaction and value is not None:
                    return unxor_address(value, transaction)
