"""An ICE-lite agent (RFC 8445 section 2.5) for one transport, free of IO and clock.

It answers connectivity checks and knows where to send. Datagrams and times go in, commands come
out; whoever owns the socket executes them.

* An address becomes a path by an authenticated check, never by other traffic. One exception is as
  well authenticated: a relay's announcement that a client with a path now comes from elsewhere.
* Before the client nominates, the path of its most recent check is used: clients start DTLS after
  the first success, long before USE-CANDIDATE. After that the nominated path is used.
* A client that keeps its pair but changes its address (a NAT rebinding) does not nominate again.
  So when media comes over another path and the selected one is silent, that path is selected.
* Consent (RFC 7675): nothing is sent on a path 30 s after its last authenticated request, or
  answer to one of ours. We ask clients that do not check (`transceiver.consent`).
* A STUN request says nothing of its sender's address, so a copy sent from elsewhere verifies too.
  A transaction that was seen from one address is refused from another.
* Until an address has shown that it receives what it is sent, it gets three bytes for each that
  came from it, for it may be a victim's. The first one shows it by completing DTLS; a further one
  of the same client, by a second check. Until then the client gets everything where it was heard
  last, if that is proven.
* Who does not authenticate is told nothing (RFC 8489, section 9.1.3, would have an error).
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from relay.wire.endpoint import Endpoint
from relay.wire.errors import IntegrityError, StunError
from relay.wire.stun import Attribute, Message, verify_integrity
from transceiver import checks
from transceiver.commands import Command, Embedded, Forgotten, Refused, Selected, Send, Validated
from transceiver.consent import Asker, consents
from transceiver.path import Announced, Path
from transceiver.plan import Credentials
from transceiver.sped import Sped

RESTART_GRACE = 30.0  # seconds; Chromium still checks with the old credentials after the answer
# For how long a client must have been silent before another agent may have its address, in seconds:
# three times what clients let pass between two checks of consent (RFC 7675, section 5.1).
ADDRESS_KEPT = 15.0
PATH_SILENCE = 1.0  # seconds without media after which another path may take over
MAX_PATHS = 16
MAX_TRANSACTIONS = 1024  # at 16 checks a second, still a minute's worth


class _Generation(NamedTuple):
    number: int
    password: bytes
    expires: float  # inf while current


class IceAgent:
    """The agent of one transport.

    Args:
        credentials: Our first credentials; `restart` replaces them.
        client: The client's; None: it is not asked for consent.

    Attributes:
        nominated_at: When the client first nominated a path, by the clock of checks; None before.
    """

    def __init__(self, credentials: Credentials, client: Credentials | None = None) -> None:
        self.credentials = credentials
        self.nominated_at: float | None = None
        self._generations = {
            credentials.ufrag.encode(): _Generation(0, credentials.password.encode(), float("inf"))
        }
        self._paths: dict[Endpoint, Path] = {}
        self._transactions: OrderedDict[bytes, Endpoint] = OrderedDict()
        self._selected: Endpoint | None = None
        # Selected until another agent had it.
        self._displaced: tuple[Endpoint, Path | None] | None = None
        self._latest: Endpoint | None = None  # the path that an authentic datagram came by
        self._nominated = False
        self._proven = False
        self._sped = Sped()
        self._asker = Asker(client) if client else None

    @property
    def selected(self) -> Endpoint | None:
        """The source address of the path in use."""
        return self._selected

    @property
    def announced(self) -> Announced | None:
        """What a relay says of the client on the path in use."""
        path = self._paths.get(self._selected) if self._selected else None
        return path.announced if path else None

    @property
    def last_check(self) -> float | None:
        """Time of the last consent on any path; None before the first check."""
        return max((path.checked for path in self._paths.values()), default=None)

    def destination(self, now: float) -> Endpoint | None:
        """Where to send; None without a path or without consent."""
        return self._selected if self._consents(self._selected, now) else None

    def spend(self, data: bytes, now: float) -> Endpoint | None:
        """Where to send a datagram, which then counts as sent.

        None as of `destination`, or because the client was sent as much as it may get before it has
        proven that it receives anything. DTLS sends again what it lost.
        """
        ways = [self._selected, self._latest]
        if not self._is_proven(self._selected) and self._is_proven(self._latest):
            ways.reverse()  # not in turns: what goes two ways comes in another order
        for address in ways:
            path = self._paths.get(address) if address else None
            if path is None or not (self._consents(address, now) and path.may_get(len(data))):
                continue
            if not path.proven:
                path.sent += len(data)
                self._sped.sent(data)
            return address
        return None

    def prove(self, source: Endpoint) -> None:
        """Note that the client receives what it is sent: from there it completed a handshake."""
        self._proven = True
        if (path := self._paths.get(source)) is not None:
            path.proven = True

    def _is_proven(self, address: Endpoint | None) -> bool:
        path = self._paths.get(address) if address else None
        return path is not None and path.proven

    def _consents(self, address: Endpoint | None, now: float) -> bool:
        path = self._paths.get(address) if address else None
        return path is not None and consents(path, now)

    def restart(
        self, credentials: Credentials, now: float, client: Credentials | None = None
    ) -> None:
        """Begin an ICE restart (RFC 8445 section 9); paths stay in use until new ones are checked.

        Replaced credentials stay valid for `RESTART_GRACE`.
        """
        self._asker = Asker(client) if client else None
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
        self,
        data: bytes,
        source: Endpoint,
        now: float,
        announced: Announced | None = None,
        *,
        lived_in: bool = False,
    ) -> list[Command]:
        """Take a datagram that looks like STUN.

        Args:
            data: The datagram.
            source: Where it came from.
            now: Seconds of a monotonic clock.
            announced: What a relay has said of the source, if anything.
            lived_in: Whether another agent's client is there: a check from it is answered, and
                moves nothing, for anybody can write an address into a packet.
        """
        try:
            request = Message.parse(data)
        except StunError:
            return [Refused("stun_malformed")]
        if (flaw := checks.flaw(request, data)) is not None:
            return [] if self._consented(request, data, source, now) else [Refused(flaw)]
        generation = self._authenticate(request, data, now)
        if isinstance(generation, str):
            return [Refused(generation)]
        if (code := checks.refusal(request)) is not None:
            answer = checks.error(request, code, generation.password)
            return [Refused(f"stun_{code}"), Send(answer, source)]
        if lived_in:
            answer = checks.success(request, _mapped(source, announced), generation.password)
            return [Refused("address_in_use"), Send(answer, source)]
        return self._authenticated(request, source, now, announced, generation, size=len(data))

    def lives_at(self, source: Endpoint, now: float, announced: Announced | None) -> bool:
        """Whether this agent's client is at an address, and has been heard there lately.

        A relay's newer word that somebody else is there counts for more.
        """
        path = self._paths.get(source)
        if path is None or now - max(path.heard, path.checked) >= ADDRESS_KEPT:
            return False
        if path.announced is None or announced is None:
            return path.announced is announced
        return path.announced.is_of(announced)

    def has_another_at(self, source: Endpoint, announced: Announced) -> bool:
        """Whether this agent's client is at an address by a relay's word, and is not this one."""
        path = self._paths.get(source)
        return path is not None and path.announced is not None and not path.is_of(announced)

    def received(self, source: Endpoint, size: int) -> None:
        """Count bytes that came from a path, authentic or not."""
        if (path := self._paths.get(source)) is not None:
            path.received += size

    def heard(self, source: Endpoint, now: float) -> list[Command]:
        """Note that authentic DTLS or media came from a path.

        It may take over from a silent one.
        """
        path = self._paths.get(source)
        if path is None:
            return []
        path.heard = now
        self._latest = source
        if source == self._selected or self._selected is None:
            return []
        silent = now - self._paths[self._selected].heard >= PATH_SILENCE
        return [self._select(source)] if silent and consents(path, now) else []

    def announce(self, source: Endpoint, announced: Announced) -> list[Command]:
        """Take a relay's word that a client now comes from `source`.

        A client that has a path here has moved to another relay, or to another port of it: the
        new address becomes a path at once, with the old one's consent, and is selected if the old
        one was. That takes a higher epoch than all that was announced of the client: two relays
        that both believe to have it do not fight, whatever their clocks say. What one relay says
        later counts, too: it may have found its flow at another port of its own, where Redis has
        missed the last move. Anything else has to pass a check.
        """
        known = {address: path for address, path in self._paths.items() if path.is_of(announced)}
        said = dict(known)
        gone, path = self._displaced or (source, None)
        if self._selected is None and path and path.is_of(announced):
            said[gone] = path
        if not said:
            return []
        if not _supersedes(source, announced, said):
            return [] if source in known else [Refused("announcement_old")]
        latest = max(said.values(), key=lambda path: path.checked)
        commands: list[Command] = []
        if source not in self._paths:
            commands += [*self._make_room(), Validated(source)]
        self._paths[source] = replace(latest, announced=announced)
        if (self._selected is None or self._selected in known) and source != self._selected:
            commands.append(self._select(source))
        return commands

    def forget(self, source: Endpoint) -> None:
        """Give up a path, because another agent has validated its address."""
        path = self._paths.pop(source, None)
        if self._selected == source:
            # A relay that had lost all may have given the address away, and says so in a moment.
            self._displaced = (source, path)
            self._nominated = False
            self._selected = max(
                self._paths, key=lambda address: self._paths[address].checked, default=None
            )

    def expire(self, now: float) -> list[Command]:
        """Forget the paths, other than the selected one, that have lost consent."""
        stale = [
            address
            for address, path in self._paths.items()
            if address != self._selected and not consents(path, now)
        ]
        for address in stale:
            del self._paths[address]
        return [Forgotten(address) for address in stale]

    def ask(self, now: float, transaction_id: bytes) -> list[Command]:
        """Ask a client for consent on the path in use, if it is time; to be called each second.

        Args:
            now: Seconds of a monotonic clock.
            transaction_id: 12 bytes that nobody can guess.
        """
        if self._asker is None or self._selected is None:
            return []
        path = self._paths[self._selected]
        if not (path.proven and self._asker.is_due(path, now)):
            return []
        request = self._asker.ask(self.credentials.ufrag, self._selected, now, transaction_id)
        return [Send(request, self._selected)]

    def _consented(self, answer: Message, data: bytes, source: Endpoint, now: float) -> bool:
        if self._asker is None or not self._asker.is_answer(answer, data, source):
            return False
        if (path := self._paths.get(source)) is not None:
            path.checked = path.heard = now
        return True

    def _authenticate(self, request: Message, data: bytes, now: float) -> _Generation | str:
        """The credentials that a request verifies with, or why it does not, as it is counted."""
        username = request.get(Attribute.USERNAME)
        if username is None or request.get(checks.integrity(request)) is None:
            return "stun_unsigned"
        generation = self._generations.get(username.partition(b":")[0])
        if generation is None or b":" not in username or generation.expires <= now:
            return "stun_unauthenticated"
        try:
            verify_integrity(data, generation.password)
        except IntegrityError:
            return "stun_unauthenticated"
        return generation

    def _authenticated(
        self,
        request: Message,
        source: Endpoint,
        now: float,
        announced: Announced | None,
        generation: _Generation,
        *,
        size: int,
    ) -> list[Command]:
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
            path = Path(now, now, generation.number, announced)
            moved = first is None and self._is_client_at(self._selected, announced)
            commands += self._checked(source, path, nominating=nominating, moved=moved)
        embedded = self._sped.take(request)
        if self._sped.has_arrived(request):
            self.prove(source)
        extra, mapped = self._sped.answer(request), _mapped(source, announced)
        answer = checks.success(request, mapped, generation.password, extra)
        if (known := self._paths.get(source)) is not None:  # a copy outlives its path
            known.received += size
            known.sent += len(answer)
        # After the response: it lets DTLS through relays and clients that wait for it.
        after = [Embedded(embedded, source)] if embedded else []
        return [*commands, Send(answer, source), *after]

    def _checked(
        self, source: Endpoint, path: Path, *, nominating: bool, moved: bool
    ) -> list[Command]:
        """Take note of a check.

        Args:
            source: Where it came from.
            path: What there is to know of that address.
            nominating: Whether the client nominates it.
            moved: Whether relays say that this is the client on the selected path, and it has not
                made this check there: its packets may have gone over to another relay.
        """
        commands: list[Command] = []
        if source not in self._paths:
            commands += [*self._make_room(), Validated(source)]
        supersedes = self._supersedes(source, path, nominating=nominating, moved=moved)
        if (known := self._paths.get(source)) is not None:
            # Clients go on using old credentials beside new ones.
            path.generation = max(path.generation, known.generation)
            path.received, path.sent = known.received, known.sent
            path.proven = known.proven or self._proven
        elif announced := path.announced:
            path.proven = any(
                each.proven and each.is_of(announced) for each in self._paths.values()
            )
        self._paths[source] = path
        if supersedes:
            self._nominated = nominating or (moved and self._nominated)
            commands.append(self._select(source))
        elif source == self._selected:
            self._nominated = self._nominated or nominating
        if self.nominated_at is None and self._nominated:
            self.nominated_at = path.checked
        return commands

    def _supersedes(self, source: Endpoint, path: Path, *, nominating: bool, moved: bool) -> bool:
        """Whether a path that was checked now is to be selected, and was not before.

        The client takes two relays that have its packets in turn for one path, and nominates that.
        What is heard by the selected one counts for more than a check by another: it may have
        waited in a relay that stood still while the client was taken over.
        """
        if self._selected is None or self._selected == source:
            return self._selected is None
        selected = self._paths[self._selected]
        if not consents(selected, path.checked):
            return True
        if path.generation != selected.generation:
            return path.generation > selected.generation
        if not self._nominated:
            return True
        if selected.is_of(path.announced):
            silent = path.checked - selected.heard >= PATH_SILENCE
            return silent and (nominating or moved)
        return nominating

    def _select(self, source: Endpoint) -> Selected:
        self._selected = source
        return Selected(source)

    def _is_client_at(self, address: Endpoint | None, announced: Announced | None) -> bool:
        """Whether relays say that one client is behind an address and what was announced.

        A relay that has lost its state forwards a retransmission from another port.
        """
        path = self._paths.get(address) if address else None
        return path is not None and path.is_of(announced)

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


def _mapped(source: Endpoint, announced: Announced | None) -> Endpoint:
    return announced.client if announced else source


def _supersedes(source: Endpoint, announced: Announced, said: Mapping[Endpoint, Path]) -> bool:
    """Whether an announcement counts more than those of the same client at other addresses."""
    epoch, time, host = max(
        (path.announced.epoch, path.announced.time, address.host)
        for address, path in said.items()
        if path.announced
    )
    if announced.epoch != epoch:
        return announced.epoch > epoch
    return host == source.host and announced.time > time
