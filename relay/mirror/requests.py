"""What a mirror asks of Redis: each request is one command about one key."""

import time
from dataclasses import dataclass

from relay.core.flowtuple import FlowTuple
from relay.mirror.library import CHANNEL, call
from relay.mirror.record import Record, key_of
from relay.redisclient import Pipe
from relay.wire.announcement import Announcement
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing


@dataclass(frozen=True, slots=True)
class Writer:
    """The relay that writes.

    Attributes:
        owner: Its identity.
        keys: They sign records.
        ttl: How long a record lives, in milliseconds.
    """

    owner: str
    keys: KeyRing
    ttl: int


@dataclass(frozen=True, slots=True)
class Claim:
    """Write a flow's record, as of this relay. The answer: 1, or the record of who has it.

    Attributes:
        flow: The flow.
        epoch: Its epoch.
        introduced: What an edge has said of its client.
        junk: What may be written over as if nothing were there, for it does not verify.
    """

    flow: FlowTuple
    epoch: int
    introduced: Announcement | None = None
    junk: bytes = b""

    def add(self, pipeline: Pipe, writer: Writer) -> None:
        """Add the command to a pipeline."""
        record = Record(self.flow, writer.owner, self.epoch, time.time(), self.introduced)
        value, channel = record.serialize(writer.keys), _channel(self.flow)
        written = writer.ttl, value, channel, self.junk
        call(pipeline, "claim", record.key, writer.owner, self.epoch, *written)


@dataclass(frozen=True, slots=True)
class Refresh:
    """Let a flow's record live on. The answer: 1; 0 if there is none; or another's record."""

    flow: FlowTuple
    epoch: int
    introduced: Announcement | None = None

    def add(self, pipeline: Pipe, writer: Writer) -> None:
        """Add the command to a pipeline."""
        call(pipeline, "refresh", _key(self.flow), writer.owner, writer.ttl)


@dataclass(frozen=True, slots=True)
class Release:
    """Delete a flow's record, of this epoch or one before."""

    flow: FlowTuple
    epoch: int

    def add(self, pipeline: Pipe, writer: Writer) -> None:
        """Add the command to a pipeline."""
        call(pipeline, "release", _key(self.flow), writer.owner, self.epoch, _channel(self.flow))


@dataclass(frozen=True, slots=True)
class LookUp:
    """Read a client's record. The answer: it, or nothing."""

    client: Endpoint
    vip: Endpoint

    def add(self, pipeline: Pipe, _: Writer) -> None:
        """Add the command to a pipeline."""
        pipeline.get(key_of(self.client, self.vip))


Request = Claim | Refresh | Release | LookUp


def _key(flow: FlowTuple) -> str:
    return key_of(flow.client, flow.vip)


def _channel(flow: FlowTuple) -> str:
    return f"{CHANNEL}{flow.vip}"
