"""What the mirror keeps of a flow: one record for each client and VIP, with a tag of its own.

Whoever can write to Redis must not be able to steer media, so each record carries an HMAC under a
key that Redis does not know. The record is JSON that an operator can read:

    icelane:flow:203.0.113.10:3478|203.0.113.2:40000
    {"v": 1, "transceiver": "192.0.2.2:5000", "upstream": "192.0.2.1:20417",
     "route": "AAAB...", "time": 1795381747.5, "mac": "hex digits"}
"""

import hmac
import json
from dataclasses import dataclass
from typing import Any, Self

from relay.core.flowtuple import FlowTuple
from relay.errors import MirrorError
from relay.wire.endpoint import Endpoint
from relay.wire.errors import EndpointError
from relay.wire.keys import KeyRing
from relay.wire.route import Route, open_raw, open_ufrag

VERSION = 1
PREFIX = "icelane:flow:"
MAC_SIZE = 16  # bytes of HMAC-SHA256 that are kept

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
        time: When it was written, Unix seconds.
    """

    flow: FlowTuple
    time: float

    @property
    def key(self) -> str:
        """The Redis key."""
        return key_of(self.flow.client, self.flow.vip)

    def serialize(self, keys: KeyRing) -> bytes:
        """The Redis value.

        Raises:
            RouteError: The flow's route does not verify under these keys.
        """
        route = open_raw(self.flow.route, keys)
        fields = {
            "v": VERSION,
            "transceiver": str(self.flow.transceiver),
            "upstream": str(self.flow.upstream),
            "route": route.ufrag,
            "time": self.time,
        }
        mac = _mac(self.key, fields, route, keys)
        return _ENCODER.encode(fields | {"mac": mac.hex()}).encode("ascii")

    @classmethod
    def parse(cls, client: Endpoint, vip: Endpoint, value: bytes, keys: KeyRing) -> Self:
        """Read and verify the value found under `key_of(client, vip)`.

        Raises:
            RecordError: It is malformed, or its tag does not verify.
        """
        try:
            fields = json.loads(value)
            mac = bytes.fromhex(fields.pop("mac"))
            route = open_ufrag(fields["route"], keys)
            flow = FlowTuple(
                client=client,
                vip=vip,
                upstream=Endpoint.parse(fields["upstream"]),
                transceiver=Endpoint.parse(fields["transceiver"]),
                route=route.raw,
            )
            time = float(fields["time"])
            version = fields["v"]
        except _MALFORMED as error:
            raise RecordError(f"malformed: {error}") from None
        if not hmac.compare_digest(mac, _mac(key_of(client, vip), fields, route, keys)):
            raise RecordError("its tag does not verify")
        if version != VERSION:
            raise RecordError(f"version {version} is unknown")
        return cls(flow, time)


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


def _mac(key: str, fields: dict[str, Any], route: Route, keys: KeyRing) -> bytes:
    secret = keys.mirror_key(route.cluster, route.key_slot)
    # The key is covered, too: a record copied to another client's key must not verify.
    text = _SORTING_ENCODER.encode([key, fields]).encode("ascii")
    return hmac.digest(secret, text, "sha256")[:MAC_SIZE]
