"""What is fuzzed in Python: functions of bytes that raise where something is wrong."""

import asyncio
import contextlib
import json
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from relay.admin.commands import AdminCommands
from relay.admin.transport import serve
from relay.core.flow import Flow
from relay.core.flowtuple import FlowTuple
from relay.dataplane.interface import DataplaneChoice
from relay.errors import AdminError
from relay.mirror.record import Record, RecordError, _mac, client_of, key_of
from relay.wire.announcement import Announcement
from relay.wire.endpoint import Endpoint
from relay.wire.errors import AnnouncementError, GoodbyeError, RouteError, StunError
from relay.wire.goodbye import Goodbye
from relay.wire.keys import KeyRing
from relay.wire.route import Target, mint, open_kept, open_raw, open_ufrag, read_ufrag
from relay.wire.siphash import TAG_SIZE, tag
from relay.wire.stun import BINDING, Attribute, Message, MessageClass, server_ufrag, username
from tests.relay.wire.cases import CASES
from tests.transceiver.sdp.reader import check
from tests.transceiver.sdp.samples import LOCAL, OFFER, REAL
from transceiver.commands import Send
from transceiver.errors import OfferError
from transceiver.ice import IceAgent
from transceiver.path import AMPLIFICATION
from transceiver.plan import Credentials
from transceiver.sdp import check_credentials, read_offer

KEYS = KeyRing({0: bytes(32)}, signing_slot=0)
TARGET = Target(7, 42, 3)
ROUTE = mint(TARGET, KEYS, now=1_800_000_000.0, lifetime=3600.0, nonce=b"fuzz")
CLIENT, VIP = Endpoint("203.0.113.99", 50000), Endpoint("203.0.113.10", 3478)
UPSTREAM, TRANSCEIVER = Endpoint("192.0.2.1", 20417), Endpoint("2001:db8::2", 5000)
CREDENTIALS = Credentials("serverufrag", "server-password-of-24-ch")


def stun(data: bytes) -> None:
    """A datagram that reaches an ICE agent, as it is and with its integrity made right."""
    with contextlib.suppress(StunError):
        assert server_ufrag(data) == username(data).partition(b":")[0]
    try:
        message = Message.parse(data)
    except StunError:
        return
    bare = [each for each in message.attributes if each[0] != Attribute.FINGERPRINT]
    again = Message(message.message_class, message.method, message.transaction_id, tuple(bare))
    assert again == Message.parse(again.serialize())
    unsigned = [each for each in bare if each[0] not in _INTEGRITY]
    request = Message(
        message.message_class, message.method, message.transaction_id, tuple(unsigned)
    )
    for datagram in (data, request.serialize(CREDENTIALS.password.encode())):
        agent = IceAgent(CREDENTIALS)
        commands = agent.receive(datagram, CLIENT, 0.0)
        sent = sum(len(each.data) for each in commands if isinstance(each, Send))
        assert sent <= AMPLIFICATION * len(datagram)
        assert datagram is not data or agent.selected is None or message.get(_INTEGRITY[0])


_INTEGRITY = (Attribute.MESSAGE_INTEGRITY, Attribute.MESSAGE_INTEGRITY_SHA256)


def route(data: bytes) -> None:
    """A ufrag, and the bytes of a route."""
    with contextlib.suppress(RouteError):
        assert open_ufrag(data, KEYS).raw[:1] == b"\0"
    with contextlib.suppress(RouteError):
        read = read_ufrag(data)
        assert read.ufrag.encode() == data, "a route has one spelling"
        assert Target.parse(str(read.target)) == read.target
    signed = data + tag(KEYS.route_key(int.from_bytes(data[1:3], "big"), 0), data)
    with contextlib.suppress(RouteError):
        assert open_raw(signed, KEYS).raw == signed


def sdp(data: bytes) -> None:
    """An offer, and the credentials in one."""
    text = data.decode("utf-8", "replace")
    try:
        offer = read_offer(text)
        plan = offer.plan(None)
    except OfferError:
        plan = None
    if plan is not None:
        answer = offer.answer(plan, LOCAL)
        check(text, answer)
        # It may come again; what holds in a later one alone (RFC 3264, section 8.4) may differ.
        check(text, offer.answer(offer.plan(plan), LOCAL, answer))
    with contextlib.suppress(OfferError):
        check_credentials(text[:40], text[40:], "an offer")


def announcement(data: bytes) -> None:
    """A relay's announcement, as it is and with its tags made right."""
    signed = data[:-TAG_SIZE]
    key = KEYS.goodbye_key(TARGET.cluster, 0)
    for datagram in (data, signed + tag(key, signed)):
        with contextlib.suppress(AnnouncementError):
            said = Announcement.parse(datagram, KEYS)
            assert Announcement.parse(said.serialize(KEYS), KEYS) == said


def goodbye(data: bytes) -> None:
    """A transceiver's goodbye, as it is and with its tag made right."""
    signed = data[:-TAG_SIZE]
    key = KEYS.goodbye_key(int.from_bytes(data[3:5], "big"), 0)
    for datagram in (data, signed + tag(key, signed)):
        with contextlib.suppress(GoodbyeError):
            said = Goodbye.parse(datagram, KEYS)
            assert Goodbye.parse(said.serialize(KEYS), KEYS) == said


def record(data: bytes) -> None:
    """A value in Redis, as it is and with its tag made right, and its key."""
    name = data.decode("utf-8", "replace")
    for text in (name, f"icelane:flow:{name}"):
        with contextlib.suppress(RecordError):
            client, vip = client_of(text)
            assert client_of(key_of(client, vip)) == (client, vip)
    for value in (data, _signed(data)):
        with contextlib.suppress(RecordError):
            read = Record.parse(CLIENT, VIP, value, KEYS)
            assert Record.parse(CLIENT, VIP, read.serialize(KEYS), KEYS).flow == read.flow


def _signed(value: bytes) -> bytes:
    try:
        fields = json.loads(value)
        fields.pop("mac", None)
        route = open_kept(read_ufrag(fields["route"]).raw, KEYS)
        secret = KEYS.mirror_keys(route.cluster, route.key_slot)[0]
        mac = _mac(key_of(CLIENT, VIP), fields, secret)
        return json.dumps(fields | {"mac": mac.hex()}).encode()
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
        return value
    except RouteError:
        return value


class _Agent:
    """Answers as an agent with nothing to do."""

    forwarder = DataplaneChoice.USERSPACE

    def counters(self) -> dict[str, int]:
        return {"datagrams": 1}

    flow_counts = used = limits = counters

    def setups(self) -> dict[str, float]:
        return {"0.01": 1.0}

    def keys(self) -> Mapping[str, Any]:
        return {"slots": [0], "signing": 0}

    def overview(self) -> Mapping[str, Any]:
        return {"pid": 1}

    def awake(self) -> list[Flow]:
        return []

    async def status(self) -> AsyncIterator[Mapping[str, Any]]:
        yield {"flows": [1]}
        yield {"flows": [2]}

    async def switch(self, choice: DataplaneChoice) -> None:
        raise AdminError(f"no {choice.value} here")

    def drain(self, *, on: bool) -> None:
        assert isinstance(on, bool)

    async def unload(self) -> bool:
        return False


class _Admin:
    """An admin socket, and who asks there."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(lambda _, context: self._broke.append(context))
        self._broke: list[Any] = []
        self._path = Path(tempfile.mkdtemp(prefix="icelane-fuzz-")) / "admin.sock"
        agent = _Agent()
        handlers = AdminCommands(agent, agent).handlers
        self._serving = self._loop.run_until_complete(serve(self._path, handlers))

    def say(self, data: bytes) -> None:
        self._loop.run_until_complete(self._say(data))
        assert not self._broke, self._broke

    async def _say(self, data: bytes) -> None:
        reader, writer = await asyncio.open_unix_connection(str(self._path))
        with contextlib.suppress(ConnectionError):
            writer.write(data)
            writer.write_eof()
            async with asyncio.timeout(5):
                for line in (await reader.read()).splitlines():
                    assert isinstance(json.loads(line), dict)
        writer.close()


_admin = cache(_Admin)


def admin(data: bytes) -> None:
    """What somebody says at the admin socket."""
    _admin().say(data)


def _said(**fields: object) -> bytes:
    return json.dumps(fields).encode() + b"\n"


_CHECK = (
    (Attribute.USERNAME, b"serverufrag:client"),
    (Attribute.USE_CANDIDATE, b""),
    (Attribute.ICE_CONTROLLING, bytes(8)),
    (Attribute.DTLS_IN_STUN, bytes([22, 254, 255]) + bytes(40)),
    (Attribute.DTLS_IN_STUN_ACK, bytes(8)),
)
_FLOW = FlowTuple(CLIENT, VIP, UPSTREAM, TRANSCEIVER, ROUTE.raw)

#: What is fuzzed, and what each begins with.
TARGETS: dict[str, tuple[Callable[[bytes], None], list[bytes]]] = {
    "stun": (
        stun,
        [each.payload for each in CASES]
        + [Message(kind, BINDING, bytes(12), _CHECK).serialize(b"x") for kind in MessageClass],
    ),
    "route": (route, [ROUTE.ufrag.encode(), ROUTE.raw[:-TAG_SIZE]]),
    "sdp": (sdp, [each.encode() for each in (OFFER, *REAL.values())]),
    "announcement": (
        announcement,
        [Announcement(CLIENT, VIP, UPSTREAM, ROUTE.raw, 1_800_000_000.0).serialize(KEYS)],
    ),
    "goodbye": (goodbye, [Goodbye(ROUTE.raw, CLIENT, UPSTREAM).serialize(KEYS)]),
    "record": (
        record,
        [
            Record(_FLOW, "5f0c", 1, 1_800_000_000.0).serialize(KEYS),
            key_of(CLIENT, VIP).encode(),
        ],
    ),
    "admin": (
        admin,
        [
            *(_said(command=name) for name in ("status", "counters", "unload")),
            _said(command="switch", dataplane="xdp", to="xdp") + _said(command="drain", on=True),
        ],
    ),
}
