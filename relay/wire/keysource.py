"""Where a ring's keys come from: master keys, or the keys of one cluster that were derived of them.

Each key has a purpose, a cluster and a slot, and is HKDF-Expand (RFC 5869, section 2.3) of the
slot's master key for these three. Nothing leads from a derived key back to its master, nor to a
key of another cluster, purpose or slot: a host that is given the keys of its cluster alone gives
away no more when it is broken into.
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, Self

from relay.wire.errors import KeyFileError
from relay.wire.siphash import KEY_SIZE

MASTER_SIZE = 32
UNROUTABLE_SLOT = 7  # three bits name a slot; this value says that there is no route
SLOTS = range(UNROUTABLE_SLOT)


class Purpose(StrEnum):
    """What a key is for; the text is part of its derivation and never changes."""

    ROUTE = "route"  # tags of routes in ufrags
    ANNOUNCEMENT = "announcement"  # tags of announcements and goodbyes
    REGISTRY = "registry"  # entries of the registry in Redis
    EDGE = "edge"  # tags of what edges of other clusters say of clients, and hear of their ends
    MIRROR = "mirror"  # records of flows in Redis
    PORT = "port"  # spreads flows over upstream ports
    SHARE = "share"  # spreads clients over workers


#: The purposes that are of no slot: rotation must move no flow to another port or worker.
SPREADING = (Purpose.PORT, Purpose.SHARE)


class Role(StrEnum):
    """A service that needs keys, and no more than these."""

    RELAY = "relay"
    TRANSCEIVER = "transceiver"
    SIGNALING = "signaling"
    EDGE = "edge"  # a relay that forwards to this cluster from elsewhere

    @property
    def purposes(self) -> tuple[Purpose, ...]:
        """What its keys are for."""
        match self:
            case Role.RELAY:
                return tuple(Purpose)
            case Role.TRANSCEIVER:
                return Purpose.ROUTE, Purpose.ANNOUNCEMENT, Purpose.REGISTRY
            case Role.SIGNALING:
                return (Purpose.REGISTRY,)
            case Role.EDGE:
                return (Purpose.EDGE,)

    @property
    def named(self) -> str:
        """It in a sentence."""
        return f"{'an' if self is Role.EDGE else 'a'} {self}"


class KeySource(Protocol):
    """Has, or derives, keys of 16 bytes."""

    @property
    def slots(self) -> frozenset[int]:
        """The slots that hold a key."""

    def derive(self, purpose: Purpose, cluster: int, slot: int) -> bytes:
        """The key of a purpose, a cluster and a slot. Raises KeyError where there is none."""

    def spread(self, purpose: Purpose, cluster: int) -> bytes:
        """The key of a purpose that is of no slot. Raises KeyError where there is none."""

    def lines(self) -> Iterable[str]:
        """Itself, as lines of TOML."""


@dataclass(frozen=True, slots=True)
class Masters:
    """Master keys: all keys of all clusters.

    Attributes:
        by_slot: The 32-byte key of each slot in use, slots 0 to 6.
        spreading: 32 bytes that stay when keys rotate; where nobody gives them, the master key of
            the lowest slot, as in files that were written before there was such a secret.
        stopped: When a slot ceased to sign, Unix seconds, where it has.

    Raises:
        KeyFileError: A slot or a key has a wrong size, or there is none.
    """

    by_slot: Mapping[int, bytes]
    spreading: bytes = b""
    stopped: Mapping[int, int] | None = None

    def __post_init__(self) -> None:
        for slot, master in self.by_slot.items():
            if slot not in SLOTS:
                raise KeyFileError(f"key slot {slot} does not exist: use 0 to {SLOTS[-1]}")
            if len(master) != MASTER_SIZE:
                raise KeyFileError(f"key {slot} has {len(master)} bytes: it needs {MASTER_SIZE}")
        if not self.spreading and self.by_slot:
            object.__setattr__(self, "spreading", self.by_slot[min(self.by_slot)])
        if self.by_slot and len(self.spreading) != MASTER_SIZE:
            raise KeyFileError(
                f"the spread secret has {len(self.spreading)} bytes: it needs {MASTER_SIZE}"
            )

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """Take the document of a file of master keys.

        Raises:
            KeyFileError: It is none; the message says where.
        """
        masters = {
            _slot(name): _secret(value, f"key {name}") for name, value in document["keys"].items()
        }
        spreading = b""
        if (written := document.get("spread")) is not None:
            spreading = _secret(written, "the spread secret")
        stopped = document.get("stopped", {})
        if not isinstance(stopped, dict) or not all(type(each) is int for each in stopped.values()):
            raise KeyFileError("write [stopped] as a table of slots and Unix seconds")
        return cls(masters, spreading, {_slot(name): when for name, when in stopped.items()})

    @property
    def slots(self) -> frozenset[int]:
        """See `KeySource`."""
        return frozenset(self.by_slot)

    def derive(self, purpose: Purpose, cluster: int, slot: int) -> bytes:
        """See `KeySource`."""
        return _expand(self.by_slot[slot], purpose, cluster, slot)

    def spread(self, purpose: Purpose, cluster: int) -> bytes:
        """See `KeySource`."""
        return _expand(self.spreading, purpose, cluster, 0)

    def lines(self) -> Iterable[str]:
        """See `KeySource`."""
        yield f'spread = "{self.spreading.hex()}"  # stays when keys rotate: no flow changes ports'
        yield ""
        yield "[keys]"
        for slot, master in sorted(self.by_slot.items()):
            yield f'{slot} = "{master.hex()}"'
        if self.stopped:
            yield ""
            yield "[stopped]  # when a slot ceased to sign, Unix seconds"
            for slot, when in sorted(self.stopped.items()):
                yield f"{slot} = {when}"


@dataclass(frozen=True, slots=True)
class ClusterKeys:
    """The keys of one cluster, derived for one role.

    Attributes:
        cluster: The cluster.
        role: Whose they are.
        by_slot: The 16-byte keys of each slot by their purposes, but for those that spread.
        spreading: Those that spread.
    """

    cluster: int
    role: Role
    by_slot: Mapping[int, Mapping[Purpose, bytes]]
    spreading: Mapping[Purpose, bytes]

    @classmethod
    def derived(cls, source: KeySource, cluster: int, role: Role) -> Self:
        """What one role needs of the keys of a cluster.

        Raises:
            KeyError: The source has less.
        """
        slotted = [each for each in role.purposes if each not in SPREADING]
        return cls(
            cluster,
            role,
            {
                slot: {each: source.derive(each, cluster, slot) for each in slotted}
                for slot in source.slots
            },
            {each: source.spread(each, cluster) for each in SPREADING if each in role.purposes},
        )

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """Take the document of a file of one cluster's keys.

        Raises:
            KeyFileError: It is none; the message says where.
        """
        cluster, told = document["cluster"], document.get("for")
        if type(cluster) is not int or not 0 <= cluster < 1 << 16:
            raise KeyFileError("cluster must be a number from 0 to 65535")
        try:
            role = Role(str(told))
        except ValueError:
            raise KeyFileError(f'write for = "ROLE", one of {", ".join(Role)}') from None
        slotted = [each for each in role.purposes if each not in SPREADING]
        spreading = [each for each in SPREADING if each in role.purposes]
        by_slot = {
            _slot(name): _derived(value, slotted, f"key {name}")
            for name, value in document["keys"].items()
        }
        return cls(
            cluster, role, by_slot, _derived(document.get("spread", {}), spreading, "spread")
        )

    @property
    def slots(self) -> frozenset[int]:
        """See `KeySource`."""
        return frozenset(self.by_slot)

    def derive(self, purpose: Purpose, cluster: int, slot: int) -> bytes:
        """See `KeySource`."""
        self._require_own(cluster)
        return self.by_slot[slot][purpose]

    def spread(self, purpose: Purpose, cluster: int) -> bytes:
        """See `KeySource`."""
        self._require_own(cluster)
        return self.spreading[purpose]

    def lines(self) -> Iterable[str]:
        """See `KeySource`."""
        yield f"cluster = {self.cluster}"
        yield f'for = "{self.role}"'
        tables = {f"keys.{slot}": keys for slot, keys in sorted(self.by_slot.items())}
        for name, keys in (tables | {"spread": self.spreading}).items():
            if keys:
                yield ""
                yield f"[{name}]"
                yield from (f'{purpose} = "{key.hex()}"' for purpose, key in keys.items())

    def _require_own(self, cluster: int) -> None:
        if cluster != self.cluster:
            raise KeyError(cluster)


def new_master(randbytes: Callable[[int], bytes]) -> bytes:
    """A new master key; pass `secrets.token_bytes`."""
    return randbytes(MASTER_SIZE)


def _expand(master: bytes, purpose: Purpose, cluster: int, slot: int) -> bytes:
    # One block does, and no extraction is needed: the masters are uniformly random.
    info = b"icelane " + purpose.encode() + cluster.to_bytes(2, "big") + bytes([slot])
    return hmac.new(master, info + b"\x01", hashlib.sha256).digest()[:KEY_SIZE]


def _slot(name: str) -> int:
    # One spelling, or "0" and "00" would be two keys of one slot.
    if not re.fullmatch("0|[1-9][0-9]?", name):
        raise KeyFileError(f"{name!r} is no key slot: use 0 to {SLOTS[-1]}")
    if int(name) not in SLOTS:
        raise KeyFileError(f"key slot {name} does not exist: use 0 to {SLOTS[-1]}")
    return int(name)


def _secret(value: object, what: str) -> bytes:
    try:
        return bytes.fromhex(value)  # type: ignore[arg-type]  # a TypeError is told below
    except (TypeError, ValueError):
        raise KeyFileError(f"{what} is not a text of hex digits") from None


def _derived(table: object, purposes: Iterable[Purpose], what: str) -> dict[Purpose, bytes]:
    if not isinstance(table, dict):
        raise KeyFileError(f"{what} is not a table of derived keys")
    keys = {each: _secret(table.get(each), f"{what}, {each},") for each in purposes}
    for purpose, key in keys.items():
        if len(key) != KEY_SIZE:
            raise KeyFileError(f"{what}, {purpose}, has {len(key)} bytes: it needs {KEY_SIZE}")
    return keys
