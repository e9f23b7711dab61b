"""Asks transceivers whether they are there: their control API, and their media address.

A transceiver answers nobody over UDP whose call it does not have. So it is sent a question
(`relay.wire.question`) for a client that nobody has: a host on which nothing listens refuses it.
"""

import asyncio
import errno
import secrets
import socket
import time
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime

import aiohttp

from relay.config.registry import Transceiver
from relay.doctor import askpath
from relay.doctor.peers import Asked
from relay.errors import BindError
from relay.forwarding.udp import bind_udp
from relay.unanswered import in_words
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.question import NONCE_SIZE, Question

_LIMIT = 3.5  # seconds; after 3 the kernel gives up looking for a neighbour
_REFUSED_WITHIN = 0.5  # seconds, of one whose control API answers
_AT_ONCE = 64
_HANGS = "takes connections and does not answer"
_NOBODY = Endpoint("192.0.2.0", 9)  # of documentation, RFC 5737


async def ask(
    transceivers: Sequence[Transceiver], keys: KeyRing | None, hosts: Mapping[int, str]
) -> list[Asked]:
    """What comes of asking each.

    Args:
        transceivers: Whom.
        keys: Sign the questions; without them they are of nobody.
        hosts: From which of this host's addresses, by address family.
    """
    gate = asyncio.Semaphore(_AT_ONCE)
    timeout = aiohttp.ClientTimeout(total=_LIMIT, sock_connect=_LIMIT - 0.5)

    async def one(each: Transceiver, http: aiohttp.ClientSession) -> Asked:
        async with gate:
            return await _ask(each, keys, hosts, http)

    async with aiohttp.ClientSession(timeout=timeout) as http:
        return list(await asyncio.gather(*(one(each, http) for each in transceivers)))


async def _ask(
    each: Transceiver, keys: KeyRing | None, hosts: Mapping[int, str], http: aiohttp.ClientSession
) -> Asked:
    name = str(each.address)
    trouble, says, ahead = await _control(each.control, http)
    patience = _REFUSED_WITHIN if says else _LIMIT
    refused, mtu = await _media(each, keys, hosts.get(each.address.family), patience)
    if refused is not None:
        return Asked(name, f"its media address refuses: {refused}", ahead=ahead)
    if trouble is not None:
        hangs = trouble == _HANGS
        return Asked(name, f"its control API {each.control} {trouble}", mtu=mtu, hangs=hangs)
    says = says or "nothing refuses what is sent there (a transceiver answers only calls of its)"
    return Asked(name, None, says, ahead, mtu)


async def _control(
    url: str | None, http: aiohttp.ClientSession
) -> tuple[str | None, str, float | None]:
    """Why a control API cannot be asked, what it says, and how far this machine is ahead of it."""
    if url is None:
        return None, "", None
    try:
        async with http.get(f"{url.rstrip('/')}/v1/health") as response:
            load = await response.json()
            says = f"{int(load['sessions'])} of {int(load['capacity'])} calls"
            says += ", draining" if load["draining"] else ""
            says += ", behind: it takes no more for now" if load.get("behind") else ""
            ahead = time.time() - parsedate_to_datetime(response.headers["Date"]).timestamp()
    except aiohttp.ConnectionTimeoutError:
        return "does not answer: no connection in time", "", None
    except TimeoutError:
        return _HANGS, "", None
    except (aiohttp.ClientError, OSError, ValueError, KeyError, TypeError) as error:
        return f"does not answer: {in_words(error)}", "", None
    return None, f"its control API answers: {says}", ahead


async def _media(
    each: Transceiver, keys: KeyRing | None, host: str | None, patience: float
) -> tuple[str | None, int | None]:
    """Why datagrams do not reach an address, and what the way there carries whole.

    Of either None where nobody says.
    """
    loop = asyncio.get_running_loop()
    try:
        udp = bind_udp(Endpoint(host or _any(each.address.family), 0))
    except BindError as error:
        return str(error), None
    with udp:
        try:
            udp.connect(each.address)
            askpath.probe(udp)
            udp.send(_question(each, keys, Endpoint.of(udp.getsockname())))
            async with asyncio.timeout(patience):
                await loop.sock_recv(udp, 1)
        except TimeoutError:
            return None, askpath.known(udp)
        except OSError as error:
            if error.errno != errno.EMSGSIZE:  # what a router says of the packet that is too large
                return error.strerror or str(error), None
        return None, askpath.known(udp)


def _question(each: Transceiver, keys: KeyRing | None, asker: Endpoint) -> bytes:
    nonce = secrets.token_bytes(NONCE_SIZE)
    question = Question(nonce, each.target.cluster, _NOBODY, _NOBODY, asker)
    return question.serialize(keys or KeyRing.generate(secrets.token_bytes))


def _any(family: int) -> str:
    return "::" if family == socket.AF_INET6 else "0.0.0.0"  # noqa: S104  # whichever reaches it
