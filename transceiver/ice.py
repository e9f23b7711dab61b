"""An ICE-lite agent (RFC 8445 section 2.5) for one transport, free of IO and clock.

It answers connectivity checks and knows where to send. Datagrams and times go in, commands come
out; whoever owns the socket executes them.

* An address becomes a path by an authenticated check, never by other traffic. One exception is as
  well authenticated: a relay's announcement that a client with a path now comes from elsewhere.
* Before the client nominates, the path of its most recent check is used: clients start DTLS after
  the first success, long before USE-CANDIDATE. After that the nominated path is used.
* A client that keeps its pair but changes its address (a NAT rebinding) does not nominate again.
  So when media comes over another path and the selected one is silent, that path is selected.
* Consent (RFC 7675): nothing is sent on a path 30 s after its last authenticated request.
* A STUN request says nothing of its sender's address, so a copy sent from elsewhere verifies too.
  A transaction that was seen from one address is refused from another.
"""

import struct
import zlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

from relay.wire.endpoint import Endpoint
from relay.wire.errors import IntegrityError, StunError
from relay.wire.stun import (
    BINDING,
    Attribute,
    Message,
    MessageClass,
    verify_integrity,
    xor_address,
)

CONSENT_LIFETIME = 30.0  # seconds (RFC 7675, section 5.1)
RESTART_GRACE = 30.0  # seconds; Chromium still checks with the old credentials after the answer
PATH_SILENCE = 1.0  # seconds without media after which another path may take over
MAX_PATHS = 16
MAX_TRANSACTIONS = 1024  # at 16 checks a second, still a minute's worth

# Comprehension-required attributes (below 0x8000) that a check may carry: RFC 8489 section 18.3
# and RFC 8445 section 16.1. Any other makes the request unanswerable (RFC 8489 section 6.3.1).
_UNDERSTOOD = frozenset(
    {
        Attribute.MAPPED_ADDRESS,
        Attribute.USERNAME,
        Attribute.MESSAGE_INTEGRITY,
        Attribute.ERROR_CODE,
        Attribute.UNKNOWN_ATTRIBUTES,
        Attribute.MESSAGE_INTEGRITY_SHA256,
        Attribute.XOR_MAPPED_ADDRESS,
        Attribute.PRIORITY,
        Attribute.USE_CANDIDATE,
    }
)
_COMPREHENSION_OPTIONAL = 0x8000
_REASONS = {
    400: b"Bad Request",
    401: b"Unauthenticated",
    420: b"Unknown Attribute",
    487: b"Role Conflict",
}


class Credentials(NamedTuple):
    """What a client authenticates its checks with.

    Attributes:
        ufrag: The server's username fragment, 4 to 256 ICE characters.
        password: The short-term password, at least 22 ICE characters.
    """

    ufrag: str
    password: str


class Announced(NamedTuple):
    """What a relay said about a source address.

    Attributes:
        client: The client's own transport address.
        time: When the relay said so, Unix seconds.
    """

    client: Endpoint
    time: float


@dataclass(frozen=True, slots=True)
class Send:
    """Send a datagram."""

    data: bytes
    destination: Endpoint


@dataclass(frozen=True, slots=True)
class Validated:
    """Datagrams from this source belong to this agent from now on."""

    source: Endpoint


@dataclass(frozen=True, slots=True)
class Forgotten:
    """This source is no path of this agent any more."""

    source: Endpoint


@dataclass(frozen=True, slots=True)
class Selected:
    """Everything is sent to this path from now on."""

    path: Endpoint


@dataclass(frozen=True, slots=True)
class Refused:
    """A datagram changed nothing; the reason is one word for a counter."""

    reason: str


Command = Send | Validated | Forgotten | Selected | Refused


@dataclass(slots=True)
class _Path:
    """A source address that has passed a check.

    Attributes:
        checked: Time of its last authenticated request.
        heard: Time of the last datagram from it, of any kind.
        generation: Which credentials that request used; an ICE restart counts up.
        announced: What a relay says of this address.
    """

    checked: float
    heard: float
    generation: int
    announced: Announced | None


class _Generation(NamedTuple):
    number: int
    password: bytes
    expires: float  # inf while current


class IceAgent:
    """The agent of one transport.

    Args:
        credentials: The first credentials; `restart` replaces them.
    """

    def __init__(self, credentials: Credentials) -> None:
        self.credentials = credentials
        self._generations = {
            credentials.ufrag.encode(): _Generation(0, credentials.password.encode(), float("inf"))
        }
        self._paths: dict[Endpoint, _Path] = {}
        self._transactions: OrderedDict[bytes, Endpoint] = OrderedDict()
        self._selected: Endpoint | None = None
        self._nominated = False

    @property
    def selected(self) -> Endpoint | None:
        """The source address of the path in use."""
        return self._selected

    @property
    def client(self) -> Endpoint | None:
        """The announced client address of the path in use."""
        path = self._paths.get(self._selected) if self._selected else None
        return path.announced.client if path and path.announced else None

    @property
    def last_check(self) -> float | None:
        """Time of the last authenticated request on any path; None before the first."""
        return max((path.checked for path in self._paths.values()), default=None)

    def destination(self, now: float) -> Endpoint | None:
        """Where to send; None without a path or without consent."""
        if self._selected is None:
            return None
        path = self._paths[self._selected]
        return self._selected if now - path.checked < CONSENT_LIFETIME else None

    def restart(self, credentials: Credentials, now: float) -> None:
        """Begin an ICE restart (RFC 8445 section 9); paths stay in use until new ones are checked.

        Replaced credentials stay valid for `RESTART_GRACE`.
        """
        number = max(generation.number for generation in self._generations.values()) + 1
        retired = now + RESTART_GRACE
        self._generations = {
            ufrag: generation._replace(expires=min(generation.expires, retired))
            for ufrag, generation in self._generations.items()
            if generation.expires > now
        }
        password = credentials.password.encode()
        self._generations[credentials.ufrag.encode()] = _Generation(number, password, float("inf"))
        self.credentials = credentials

    def receive(
        self, data: bytes, source: Endpoint, now: float, announced: Announced | None = None
    ) -> list[Command]:
        """Take a datagram that looks like STUN.

        Args:
            data: The datagram.
            source: Where it came from.
            now: Seconds of a monotonic clock.
            announced: What a relay has said of the source, if anything.
        """
        try:
            request = Message.parse(data)
        except StunError:
            return [Refused("stun_malformed")]
        if request.message_class is not MessageClass.REQUEST or request.method != BINDING:
            return [Refused("stun_not_a_check")]
        if not _fingerprint_fits(request, data):
            return [Refused("stun_fingerprint")]
        generation = self._authenticate(request, data, now)
        if isinstance(generation, int):
            return self._refuse(request, source, generation)
        return self._authenticated(request, source, now, announced, generation)

    def heard(self, source: Endpoint, now: float) -> list[Command]:
        """Note that DTLS or media came from a path; it may take over from a silent one."""
        path = self._paths.get(source)
        if path is None:
            return []
        path.heard = now
        if source == self._selected or self._selected is None:
            return []
        silent = now - self._paths[self._selected].heard >= PATH_SILENCE
        consented = now - path.checked < CONSENT_LIFETIME
        return [self._select(source)] if silent and consented else []

    def announce(self, source: Endpoint, announced: Announced) -> list[Command]:
        """Take a relay's word that a client now comes from `source`.

        A client that has a path here has moved to another relay, or to another port of it: the
        new address becomes a path at once, with the old one's consent, and is selected if the old
        one was. Anything else has to pass a check. Older announcements lose against newer ones.
        """
        known = {
            address: path
            for address, path in self._paths.items()
            if path.announced and path.announced.client == announced.client
        }
        if not known:
            return []
        if any(path.announced.time >= announced.time for path in known.values() if path.announced):
            return [Refused("announcement_old")]
        latest = max(known.values(), key=lambda path: path.checked)
        commands: list[Command] = []
        if source not in self._paths:
            commands += [*self._make_room(), Validated(source)]
        self._paths[source] = _Path(latest.checked, latest.heard, latest.generation, announced)
        if self._selected in known and source != self._selected:
            commands.append(self._select(source))
        return commands

    def forget(self, source: Endpoint) -> None:
        """Give up a path, because another agent has validated its address."""
        self._paths.pop(source, None)
        if self._selected == source:
            self._nominated = False
            self._selected = max(
                self._paths, key=lambda address: self._paths[address].checked, default=None
            )

    def expire(self, now: float) -> list[Command]:
        """Forget the paths, other than the selected one, that have lost consent."""
        stale = [
            address
            for address, path in self._paths.items()
            if address != self._selected and now - path.checked >= CONSENT_LIFETIME
        ]
        for address in stale:
            del self._paths[address]
        return [Forgotten(address) for address in stale]

    def _authenticate(self, request: Message, data: bytes, now: float) -> _Generation | int:
        """The credentials that a request verifies with, or the error code (section 9.1.3)."""
        username = request.get(Attribute.USERNAME)
        if username is None or request.get(Attribute.MESSAGE_INTEGRITY) is None:
            return 400
        generation = self._generations.get(username.partition(b":")[0])
        if generation is None or b":" not in username or generation.expires <= now:
            return 401
        try:
            verify_integrity(data, generation.password)
        except IntegrityError:
            return 401
        return generation

    def _authenticated(
        self,
        request: Message,
        source: Endpoint,
        now: float,
        announced: Announced | None,
        generation: _Generation,
    ) -> list[Command]:
        password = generation.password
        if unknown := _unknown_attributes(request):
            extra = (Attribute.UNKNOWN_ATTRIBUTES, struct.pack(f"!{len(unknown)}H", *unknown))
            return self._refuse(request, source, 420, password, extra)
        if self._replayed(request.transaction_id, source, announced):
            return [Refused("stun_replayed")]
        if request.get(Attribute.ICE_CONTROLLED) is not None:
            # A lite agent is always the controlled one (RFC 8445 section 6.1.1).
            return self._refuse(request, source, 487, password)

        commands: list[Command] = []
        path = self._paths.get(source)
        if path is None:
            commands += [*self._make_room(), Validated(source)]
            path = self._paths[source] = _Path(now, now, generation.number, announced)
        path.checked = path.heard = now
        path.generation = generation.number
        path.announced = announced or path.announced
        nominating = request.get(Attribute.USE_CANDIDATE) is not None
        if self._supersedes(path, nominating=nominating, now=now):
            if source != self._selected:
                commands.append(self._select(source))
            self._nominated = nominating
        elif source == self._selected:
            self._nominated = self._nominated or nominating

        mapped = path.announced.client if path.announced else source
        success = Message(
            MessageClass.SUCCESS,
            BINDING,
            request.transaction_id,
            ((Attribute.XOR_MAPPED_ADDRESS, xor_address(mapped, request.transaction_id)),),
        )
        return [*commands, Send(success.serialize(password), source)]

    def _supersedes(self, path: _Path, *, nominating: bool, now: float) -> bool:
        selected = self._paths.get(self._selected) if self._selected else None
        if selected is None or selected is path:
            return selected is None
        if now - selected.checked >= CONSENT_LIFETIME:
            return True
        if path.generation != selected.generation:
            return path.generation > selected.generation
        return nominating or not self._nominated

    def _select(self, source: Endpoint) -> Selected:
        self._selected = source
        return Selected(source)

    def _replayed(
        self, transaction_id: bytes, source: Endpoint, announced: Announced | None
    ) -> bool:
        first = self._transactions.setdefault(transaction_id, source)
        if len(self._transactions) > MAX_TRANSACTIONS:
            self._transactions.popitem(last=False)
        if first == source:
            return False
        # The relay may forward a retransmission from another port when it has lost its state.
        path = self._paths.get(first)
        known = path.announced if path else None
        return known is None or announced is None or known.client != announced.client

    def _make_room(self) -> list[Command]:
        if len(self._paths) < MAX_PATHS:
            return []
        others = [address for address in self._paths if address != self._selected]
        oldest = min(others, key=lambda address: self._paths[address].checked)
        del self._paths[oldest]
        return [Forgotten(oldest)]

    def _refuse(
        self,
        request: Message,
        source: Endpoint,
        code: int,
        password: bytes | None = None,
        *extra: tuple[int, bytes],
    ) -> list[Command]:
        value = struct.pack("!HBB", 0, *divmod(code, 100)) + _REASONS[code]
        error = Message(
            MessageClass.ERROR,
            BINDING,
            request.transaction_id,
            ((Attribute.ERROR_CODE, value), *extra),
        )
        return [Refused(f"stun_{code}"), Send(error.serialize(password), source)]


def _unknown_attributes(request: Message) -> list[int]:
    kinds = dict.fromkeys(kind for kind, _ in request.attributes)
    return [k for k in kinds if k < _COMPREHENSION_OPTIONAL and k not in _UNDERSTOOD]


def _fingerprint_fits(request: Message, data: bytes) -> bool:
    """Whether FINGERPRINT, if there is one, is the last attribute and matches (section 14.7).

    A datagram that fails is dropped, not answered: it was damaged, and an error would end a check.
    """
    value = request.get(Attribute.FINGERPRINT)
    if value is None:
        return True
    return (zlib.crc32(data[:-8]) ^ 0x5354554E).to_bytes(4, "big") == value == data[-4:]
