"""What a transceiver or a relay announces of itself, as it stands in Redis.

Whoever can write to Redis must not be able to steer media, so each entry carries an HMAC under a
key that Redis does not know, and nothing of it is read before that verifies. It is a line that an
operator can read:

    9f0c...16 bytes in hex... {"kind": "transceiver", "slot": 7, "generation": 3, ...}
"""

import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from relay.config.entryreader import MAX_NAME
from relay.config.registry import Relay, Transceiver
from relay.config.targets import parse_target
from relay.errors import FleetError
from relay.wire.endpoint import Endpoint
from relay.wire.errors import EndpointError
from relay.wire.keys import KeyRing
from relay.wire.route import Target
from relay.wire.transport import MAX_CANDIDATES

VERSION = 1
MAC_SIZE = 16  # bytes of HMAC-SHA256 that are kept
MAX_SIZE = 8192  # bytes of an entry
_MAC_TEXT = 2 * MAC_SIZE


class EntryError(FleetError):
    """An entry is malformed, or nobody of this cluster wrote it."""


@dataclass(frozen=True, slots=True)
class TransceiverEntry:
    """A transceiver, as it announces itself.

    Attributes:
        target: Its cluster, slot and generation.
        address: Where it receives media.
        control: Where its control API is.
        sessions: Its places that are taken.
        capacity: All its places.
        draining: It takes no new calls.
        region: Where it is.
    """

    target: Target
    address: Endpoint
    control: Endpoint
    sessions: int
    capacity: int
    draining: bool = False
    region: str | None = None

    @property
    def cluster(self) -> int:
        """Its cluster."""
        return self.target.cluster

    @property
    def field(self) -> str:
        """Names it among the entries of its cluster; a slot's next owner has the same name."""
        return f"transceiver:{self.target.slot}"

    @property
    def hosts(self) -> tuple[Endpoint, ...]:
        """The internal addresses that others send to because of it."""
        return self.address, self.control

    @property
    def transceiver(self) -> Transceiver:
        """It, as a registry has it."""
        return Transceiver(self.target, self.address, f"http://{self.control}", self.region)

    def as_fields(self) -> dict[str, Any]:
        """It as plain data."""
        return {
            "kind": "transceiver",
            "cluster": self.target.cluster,
            "slot": self.target.slot,
            "generation": self.target.generation,
            "address": str(self.address),
            "control": str(self.control),
            "sessions": self.sessions,
            "capacity": self.capacity,
            "draining": self.draining,
            "region": self.region,
        }


@dataclass(frozen=True, slots=True)
class RelayEntry:
    """A relay, as it announces itself.

    Attributes:
        cluster: The cluster that it routes to.
        name: Its identity, which survives a restart.
        vips: Its public addresses, as clients are told of them.
        flows: Its flows.
        room: The most of them.
        draining: It wants no new clients, and forwards as ever.
        ill: It says of itself that no new clients should come.
        region: Where it is.
        health: Where it serves metrics and health checks, in the internal network; None where
            nobody else can ask there.
    """

    cluster: int
    name: str
    vips: tuple[Relay, ...]
    flows: int
    room: int
    draining: bool = False
    ill: bool = False
    region: str | None = None
    health: Endpoint | None = None

    @property
    def field(self) -> str:
        """Names it among the entries of its cluster."""
        return f"relay:{self.name}"

    @property
    def hosts(self) -> tuple[Endpoint, ...]:
        """The internal addresses that others send to because of it: there are none."""
        return ()

    @property
    def closed(self) -> bool:
        """Whether no new clients should come."""
        return self.draining or self.ill or self.flows >= self.room

    def as_fields(self) -> dict[str, Any]:
        """It as plain data."""
        return {
            "kind": "relay",
            "cluster": self.cluster,
            "name": self.name,
            "vips": [
                {
                    "vip": str(each.vip),
                    "advertise": list(map(str, each.advertise)),
                    "tcp": list(map(str, each.tcp)),
                }
                for each in self.vips
            ],
            "flows": self.flows,
            "room": self.room,
            "draining": self.draining,
            "ill": self.ill,
            "region": self.region,
            "health": None if self.health is None else str(self.health),
        }


Entry = TransceiverEntry | RelayEntry


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """One announcement of an entry.

    Attributes:
        entry: The entry.
        beat: Rises with each announcement of the same entry: an older one is no news.
        gone: It is the last one: the transceiver, or the relay, has ended.
        time: By the clock of who announces, Unix seconds; None of one who does not say. Nothing is
            put in order by it: it shows whose clock is wrong.
    """

    entry: Entry
    beat: int
    gone: bool = False
    time: float | None = None

    def serialize(self, keys: KeyRing) -> bytes:
        """The line that stands in Redis."""
        head = {"v": VERSION, "beat": self.beat, "gone": self.gone, "time": self.time}
        fields = head | self.entry.as_fields()
        text = json.dumps(fields).encode("ascii")
        return _mac(self.entry.cluster, keys.signing_slot, text, keys).encode() + b" " + text

    @classmethod
    def parse(cls, line: bytes, cluster: int, keys: KeyRing) -> "Heartbeat":
        """Read and verify a line that was found in the registry of a cluster.

        Raises:
            EntryError: Nobody of this cluster wrote it, or it is malformed.
        """
        if len(line) > MAX_SIZE:
            raise EntryError(f"an entry has {len(line)} bytes, and at most {MAX_SIZE}")
        mac, text = line[:_MAC_TEXT], line[_MAC_TEXT + 1 :]
        signed = (_mac(cluster, slot, text, keys).encode() for slot in sorted(keys.slots))
        if not any(hmac.compare_digest(mac, each) for each in signed):
            raise EntryError("the tag of an entry does not verify: it has another key, or no one's")
        # Whoever wrote it has the key; another version of Icelane may write what is none here.
        try:
            fields = json.loads(text)
            if fields["v"] != VERSION:
                raise EntryError(f"version {fields['v']!r} of an entry is unknown")
            entry = _KINDS[fields["kind"]](fields)
            beat, gone = _count(fields, "beat"), _flag(fields, "gone")
            time = _time(fields.get("time"))
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise EntryError(f"an entry is malformed: {error!r}") from None
        if entry.cluster != cluster:
            raise EntryError(f"an entry of cluster {entry.cluster} is in that of {cluster}")
        return cls(entry, beat, gone, time)


def _mac(cluster: int, slot: int, text: bytes, keys: KeyRing) -> str:
    return hmac.digest(keys.registry_key(cluster, slot), text, "sha256")[:MAC_SIZE].hex()


def _transceiver(fields: Mapping[str, Any]) -> TransceiverEntry:
    target = Target(
        _count(fields, "cluster", 1 << 16),
        _count(fields, "slot", 1 << 24),
        _count(fields, "generation", 1 << 8),
    )
    return TransceiverEntry(
        target,
        _host(fields["address"]),
        _host(fields["control"]),
        _count(fields, "sessions"),
        _count(fields, "capacity"),
        _flag(fields, "draining"),
        _region(fields),
    )


def _relay(fields: Mapping[str, Any]) -> RelayEntry:
    name, region = _name(fields["name"]), _region(fields)
    vips = tuple(
        Relay(
            _host(each["vip"]),
            tuple(map(_host, each["advertise"])),
            tuple(map(_host, each["tcp"])),
            name,
            region,
        )
        for each in fields["vips"]
    )
    told = sum(len(each.advertised) + len(each.tcp) for each in vips)
    if not 0 < told <= MAX_CANDIDATES:
        raise ValueError(f"{told} addresses")
    return RelayEntry(
        _count(fields, "cluster", 1 << 16),
        name,
        vips,
        _count(fields, "flows"),
        _count(fields, "room"),
        _flag(fields, "draining"),
        _flag(fields, "ill"),
        region,
        # Relays of earlier releases do not tell.
        None if fields.get("health") is None else _host(fields["health"]),
    )


_Reader = Callable[[Mapping[str, Any]], Entry]
_KINDS: Mapping[str, _Reader] = {"transceiver": _transceiver, "relay": _relay}


def _count(fields: Mapping[str, Any], name: str, limit: int = 1 << 63) -> int:
    value = fields[name]
    if type(value) is not int or not 0 <= value < limit:
        raise ValueError(f"{name} {value!r}")
    return value


def _flag(fields: Mapping[str, Any], name: str) -> bool:
    value = fields[name]
    if not isinstance(value, bool):
        raise TypeError(f"{name} {value!r}")
    return value


def _time(value: object) -> float | None:
    if value is None:
        return None
    if not isinstance(value, int | float) or not 0 <= value < 1 << 40:  # which NaN is not either
        raise ValueError(f"time {value!r}")
    return float(value)


def _host(text: object) -> Endpoint:
    """A transport address of one host, in its one spelling."""
    if not isinstance(text, str):
        raise TypeError(f"address {text!r}")
    endpoint = parse_target(text)
    if not endpoint.is_one_host:
        raise EndpointError(f"{endpoint} is not the address of one host")
    return endpoint


def _name(value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_NAME or not value.isprintable():
        raise ValueError(f"name {value!r}")
    return value


def _region(fields: Mapping[str, Any]) -> str | None:
    value = fields["region"]
    return None if value is None else _name(value)
