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

from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

from relay.wire.endpoint import Endpoint
from relay.wire.errors import IntegrityError, StunError
from relay.wire.stun import BINDING, Attribute, Message, MessageClass, verify_integrity
from relay.wire.transport import Transport
from transceiver import checks

CONSENT_LIFETIME = 30.0  # seconds (RFC 7675, section 5.1)
RESTART_GRACE = 30.0  # seconds; Chromium still checks with the old credentials after the answer
PATH_SILENCE = 1.0  # seconds without media after which another path may take over
MAX_PATHS = 16
MAX_TRANSACTIONS = 1024  # at 16 checks a second, still a minute's worth


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
        transport: How the client reaches the relay.
    """

    client: Endpoint
    time: float
    transport: Transport = Transport.UDP

    def is_of(self, other: "Announced") -> bool:
        """Whether both are of the same client.

        The same address of another transport is not: behind a NAT it may be somebody else's.
        """
        return (self.client, self.transport) == (other.client, other.transport)


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
        if not checks.fingerprint_valid(request, data):
            # It was damaged; an error would end a check that a retransmission can still save.
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
            if path.announced and path.announced.is_of(announced)
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
        if checks.unknown_attributes(request):
            return self._refuse(request, source, 420, password)
        if request.get(Attribute.ICE_CONTROLLED) is not None:
            # A lite agent is always the controlled one (RFC 8445 section 6.1.1).
            return self._refuse(request, source, 487, password)
        if announced is None and source in self._paths:
            announced = self._paths[source].announced
        first = self._transactions.get(request.transaction_id)
        commands: list[Command] = []
        # A retransmission, or a copy that somebody sends later, is answered and changes nothing.
        if first != source:
            if first is not None and not self._is_client_at(first, announced):
                return [Refused("stun_replayed")]
            self._remember(request.transaction_id, source)
            nominating = request.get(Attribute.USE_CANDIDATE) is not None
            path = _Path(now, now, generation.number, announced)
            commands += self._checked(source, path, nominating=nominating)
        mapped = announced.client if announced else source
        return [*commands, Send(checks.success(request, mapped, password), source)]

    def _checked(self, source: Endpoint, path: _Path, *, nominating: bool) -> list[Command]:
        commands: list[Command] = []
        if source not in self._paths:
            commands += [*self._make_room(), Validated(source)]
        supersedes = self._supersedes(source, path, nominating=nominating)
        if source in self._paths:  # clients go on using old credentials beside new ones
            path.generation = max(path.generation, self._paths[source].generation)
        self._paths[source] = path
        if supersedes:
            self._nominated = nominating
            commands.append(self._select(source))
        elif source == self._selected:
            self._nominated = self._nominated or nominating
        return commands

    def _supersedes(self, source: Endpoint, path: _Path, *, nominating: bool) -> bool:
        """Whether a path that was checked now is to be selected, and was not before."""
        if self._selected is None or self._selected == source:
            return self._selected is None
        selected = self._paths[self._selected]
        if path.checked - selected.checked >= CONSENT_LIFETIME:
            return True
        if path.generation != selected.generation:
            return path.generation > selected.generation
        return nominating or not self._nominated

    def _select(self, source: Endpoint) -> Selected:
        self._selected = source
        return Selected(source)

    def _is_client_at(self, address: Endpoint, announced: Announced | None) -> bool:
        """Whether relays say that one client is behind an address and what was announced.

        A relay that has lost its state forwards a retransmission from another port.
        """
        path = self._paths.get(address)
        known = path.announced if path else None
        return known is not None and announced is not None and known.is_of(announced)

    def _remember(self, transaction_id: bytes, source: Endpoint) -> None:
        self._transactions[transaction_id] = source
        if len(self._transactions) > MAX_TRANSACTIONS:
            self._transactions.popitem(last=False)

    def _make_room(self) -> list[Command]:
        if len(self._paths) < MAX_PATHS:
            return []
        others = [address for address in self._paths if address != self._selected]
        oldest = min(others, key=lambda address: self._paths[address].checked)
        del self._paths[oldest]
        return [Forgotten(oldest)]

    @staticmethod
    def _refuse(
        request: Message, source: Endpoint, code: int, password: bytes | None = None
    ) -> list[Command]:
        return [Refused(f"stun_{code}"), Send(checks.error(request, code, password), source)]
