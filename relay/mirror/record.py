"""What the mirror keeps of a flow: one record for each client and VIP, with a tag of its own.

Whoever can write to Redis must not be able to steer media, so each record carries an HMAC under a
key that Redis does not know, of the relay's own also where the route is of a cluster elsewhere. The
record is JSON that an operator can read:

    icelane:flow:203.0.113.10:3478|203.0.113.2:40000
    {"v": 2, "owner": "5f0c...", "epoch": 1, "transceiver": "192.0.2.2:5000",
     "upstream": "192.0.2.1:20417", "route": "AAAB...", "time": 1795381747.5, "mac": "hex digits"}

The owner is the relay that the client reaches; the epoch counts its owners. The time is for people:
nothing depends on it, as clocks differ. Where an edge has said who the client is, that is in it,
too: "introduced": ["203.0.113.2:40000", "203.0.113.10:3478", "udp", 1].
"""

import hmac
import json
from dataclasses import dataclass
from typing import Any, Self

from relay.config.targets import parse_target
from relay.core.flowtuple import FlowTuple
from relay.errors import MirrorError
from relay.wire.announcement import MAX_EPOCH, Announcement
from relay.wire.endpoint import Endpoint
from relay.wire.errors import EndpointError
from relay.wire.keys import KeyRing
from relay.wire.route import decode, read_ufrag
from relay.wire.transport import Transport

# A relay writes over what it cannot read. So whoever raises the version changes the prefix, too.
VERSION = 2
PREFIX = "icelane:flow:"
MAC_SIZE = 16  # bytes of HMAC-SHA256 that are kept
# Bytes of a value, of which a record has some 300, and its owner's name may be long; as in
# flows.lua. What is longer is nobody's record, and is not kept.
LONGEST = 4096

# Made once: `json.dumps` makes an encoder for each call that asks for anything special.
_ENCODER, _SORTING_ENCODER = json.JSONEncoder(), json.JSONEncoder(sort_keys=True)

# What reading a value raises that anybody may have written: among it JSON nested too deep, and a
# number too large for a float.
_MALFORMED = (
    AttributeError,
    KeyError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
)


class RecordError(MirrorError):
    """A record is malformed, or was not written by a relay of this cluster."""


@dataclass(frozen=True, slots=True)
class Record:
    """A mirrored flow.

    Attributes:
        flow: Its addresses and route.
        owner: The identity of the relay that its client reaches.
        epoch: How often a relay has taken it over, from 1 on.
        time: When it was written, Unix seconds.
        introduced: What an edge has said of its client; when it has said so is not kept.
    """

    flow: FlowTuple
    owner: str
    epoch: int
    time: float
    introduced: Announcement | None = None

    @property
    def key(self) -> str:
        """The Redis key."""
        return key_of(self.flow.client, self.flow.vip)

    def serialize(self, keys: KeyRing) -> bytes:
        """The Redis value."""
        route = decode(self.flow.route)
        fields: dict[str, Any] = {
            "v": VERSION,
            "owner": self.owner,
            "epoch": self.epoch,
            "transceiver": str(self.flow.transceiver),
            "upstream": str(self.flow.upstream),
            "route": route.ufrag,
            "time": self.time,
        }
        if (said := self.introduced) is not None:
            fields["introduced"] = [str(said.client), str(said.vip), said.transport, said.epoch]
        mac = _mac(self.key, fields, keys.mirror_keys(route.cluster, route.key_slot)[0])
        return _ENCODER.encode(fields | {"mac": mac.hex()}).encode("ascii")

    @classmethod
    def parse(cls, client: Endpoint, vip: Endpoint, value: bytes, keys: KeyRing) -> Self:
        """Read and verify the value found under `key_of(client, vip)`.

        Raises:
            RecordError: It is malformed, or its tag does not verify.
        """
        if len(value) > LONGEST:
            raise RecordError(f"malformed: {len(value)} bytes long")
        try:
            fields = json.loads(value)
            _require_flat(fields)
            mac = bytes.fromhex(fields.pop("mac"))
            route = read_ufrag(fields["route"])
            flow = FlowTuple(
                client=client,
                vip=vip,
                upstream=parse_target(fields["upstream"]),
                transceiver=parse_target(fields["transceiver"]),
                route=route.raw,
            )
            time = float(fields["time"])
            version, owner, epoch = fields["v"], fields["owner"], fields["epoch"]
            introduced = _introduced(fields.get("introduced"), flow)
            if type(owner) is not str or type(epoch) is not int or not 1 <= epoch <= MAX_EPOCH:
                raise ValueError("its owner or epoch is none")
        except _MALFORMED as error:
            raise RecordError(f"malformed: {error}") from None
        key, known = key_of(client, vip), keys.mirror_keys(route.cluster, route.key_slot)
        if not any(hmac.compare_digest(mac, _mac(key, fields, each)) for each in known):
            raise RecordError("its tag does not verify")
        if version != VERSION:
            raise RecordError(f"version {version} is unknown")
        return cls(flow, owner, epoch, time, introduced)


def _require_flat(fields: dict[str, Any]) -> None:
    """Raise one of `_MALFORMED` where one value is in another, beyond a list as of `introduced`.

    Reading what is nested may just work, deep in the stack, and writing it for its tag then fails.
    Fields that are unknown may be of a later release, which has signed them.
    """
    for name, value in fields.items():
        for each in value if isinstance(value, list) else (value,):
            if isinstance(each, dict | list):
                raise TypeError(f"what is nested in {name[:16]!r} is no field of a record")


def _introduced(written: Any, flow: FlowTuple) -> Announcement | None:
    """What `Record.serialize` has written. Raises one of `_MALFORMED` if it is something else."""
    if written is None:
        return None
    client, vip, transport, epoch = written
    if type(epoch) is not int or not 1 <= epoch <= MAX_EPOCH:
        raise ValueError("an edge has no such epoch")
    return Announcement(
        client=Endpoint.parse(client),
        vip=Endpoint.parse(vip),
        upstream=flow.client,
        route=flow.route,
        time=0.0,
        transport=Transport(transport),
        epoch=epoch,
    )


def key_of(client: Endpoint, vip: Endpoint) -> str:
    """The Redis key of a client's flow."""
    return f"{PREFIX}{vip}|{client}"


def client_of(key: str) -> tuple[Endpoint, Endpoint]:
    """The client and the VIP that a Redis key names.

    Raises:
        RecordError: It is no key of a flow.
    """
    vip, bar, client = key.removeprefix(PREFIX).partition("|")
    if not bar or not key.startswith(PREFIX):
        raise RecordError("not the key of a flow")
    try:
        return Endpoint.parse(client), Endpoint.parse(vip)
    except EndpointError as error:
        raise RecordError(f"not the key of a flow: {error}") from None


def _mac(key: str, fields: dict[str, Any], secret: bytes) -> bytes:
    # The key is covered, too: a record copied to another client's key must not verify.
    text = _SORTING_ENCODER.encode([key, fields]).encode("ascii")
    return hmac.digest(secret, text, "sha256")[:MAC_SIZE]
