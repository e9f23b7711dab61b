"""Which flows are meant: by client, transceiver, state, age and direction; pure.

A filter goes to the agent as the texts that the operator wrote, so that only what is asked for is
made into text there and sent.
"""

import re
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from ipaddress import ip_network
from typing import Any, NamedTuple, Self, TypeVar

from relay.admin.flowentry import FlowEntry
from relay.admin.flowname import parse_name
from relay.core.flow import State
from relay.core.flowtuple import FlowTuple
from relay.errors import ConfigError
from relay.wire.endpoint import Endpoint
from relay.wire.errors import EndpointError
from relay.wire.route import Target

_ADDRESS = 16  # bytes of a packed endpoint without its port
_MAPPED_BITS = 96  # before the bits of an IPv4 address in its packed form
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?", re.ASCII)
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}

Part = TypeVar("Part")


class Prefix(NamedTuple):
    """A network of addresses in their packed form.

    Attributes:
        value: Its bits.
        shift: How many bits of an address are its hosts'.
    """

    value: int
    shift: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``203.0.113.0/24``, ``2001:db8::/32``, or one address.

        Raises:
            ValueError: It is neither.
        """
        network = ip_network(text, strict=False)
        bits = network.prefixlen + (_MAPPED_BITS if network.version == 4 else 0)
        mapped = 0xFFFF << 32 if network.version == 4 else 0
        shift = 128 - bits
        return cls((int(network.network_address) | mapped) >> shift, shift)

    def has(self, packed: bytes) -> bool:
        """Whether a packed endpoint is in it."""
        return int.from_bytes(packed[:_ADDRESS]) >> self.shift == self.value


def parse_duration(text: str) -> float:
    """Seconds of ``90``, ``90s``, ``500ms``, ``5m``, ``2h`` or ``1d``.

    Raises:
        ConfigError: It is none of these.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ConfigError(f"{text!r} is no duration: write 90, 90s, 5m, 2h or 1d")
    return float(match[1]) * _UNITS[match[2] or "s"]


def parse_client(text: str) -> Callable[[FlowTuple], bool]:
    """Whether a flow is of a client: an address, one with its port, or a network.

    Raises:
        ConfigError: It is none of these.
    """
    try:
        prefix = Prefix.parse(text)
    except ValueError:
        try:
            packed = Endpoint.parse(text).packed
        except EndpointError:
            raise ConfigError(
                f"--client {text!r}: write a network such as 203.0.113.0/24, an address, or "
                "203.0.113.2:40000"
            ) from None
        return partial(_is_client, packed)
    return lambda flow: prefix.has(flow.packed_client)


def parse_transceiver(text: str) -> Callable[[FlowTuple], bool]:
    """Whether a flow leads to a transceiver: by its address, with or without port, or its slot.

    Raises:
        ConfigError: It is none of these.
    """
    for read in (_of_slot, _of_target, _at_address, _in_network):
        with suppress(ValueError, struct.error):
            return read(text)
    raise ConfigError(
        f"--transceiver {text!r}: write its address, such as 192.0.2.2:5000, or where routes "
        "lead, such as 1/20 or 1/20.3 (cluster/slot.generation)"
    )


def _of_slot(text: str) -> Callable[[FlowTuple], bool]:
    slot = Target.parse(f"{text}.0").packed[:-1]  # of whatever generation
    return lambda flow: flow.packed_target.startswith(slot)


def _of_target(text: str) -> Callable[[FlowTuple], bool]:
    target = Target.parse(text).packed
    return lambda flow: flow.packed_target == target


def _at_address(text: str) -> Callable[[FlowTuple], bool]:
    address = Endpoint.parse(text).packed
    return lambda flow: flow.packed_transceiver == address


def _in_network(text: str) -> Callable[[FlowTuple], bool]:
    network = Prefix.parse(text)
    return lambda flow: network.has(flow.packed_transceiver)


def _is_client(packed: bytes, flow: FlowTuple) -> bool:
    return flow.packed_client == packed


@dataclass(frozen=True, slots=True)
class FlowFilter:
    """Which flows are meant: those to which all that is given applies.

    Attributes:
        named: Whether a flow is called so.
        client: Whether a flow's client is one of those.
        transceiver: Whether its transceiver is.
        state: Its state.
        older: The least age, in seconds.
        younger: The most, in seconds.
        idle: For how many seconds no packet has come, at least.
        one_way: Whether only those are meant of which one side alone sends.
        texts: All this as it was written.
    """

    named: Callable[[FlowTuple], bool] | None = None
    client: Callable[[FlowTuple], bool] | None = None
    transceiver: Callable[[FlowTuple], bool] | None = None
    state: State | None = None
    older: float | None = None
    younger: float | None = None
    idle: float | None = None
    one_way: bool = False
    texts: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(
        cls,
        *,
        named: str | None = None,
        client: str | None = None,
        transceiver: str | None = None,
        state: str | None = None,
        older: str | None = None,
        younger: str | None = None,
        idle: str | None = None,
        one_way: bool = False,
    ) -> Self:
        """Read what an operator wrote.

        Raises:
            ConfigError: Something of it means nothing; all mistakes are told at once.
        """
        texts = {
            "named": named,
            "client": client,
            "transceiver": transceiver,
            "state": state,
            "older": older,
            "younger": younger,
            "idle": idle,
            "one_way": one_way,
        }
        problems: list[str] = []

        def read(text: str | None, parse: Callable[[str], Part]) -> Part | None:
            if text is None:
                return None
            try:
                return parse(text)
            except ConfigError as error:
                problems.append(str(error))
                return None

        found = cls(
            named=read(named, parse_name),
            client=read(client, parse_client),
            transceiver=read(transceiver, parse_transceiver),
            state=read(state, _state),
            older=read(older, parse_duration),
            younger=read(younger, parse_duration),
            idle=read(idle, parse_duration),
            one_way=bool(one_way),
            texts={name: text for name, text in texts.items() if text},
        )
        if problems:
            raise ConfigError(*problems)
        return found

    @property
    def asks_for_age(self) -> bool:
        """Whether it depends on the age, which an agent alone knows."""
        return self.older is not None or self.younger is not None

    def admits(self, addresses: FlowTuple, state: State) -> bool:
        """Whether a flow may be meant, by what never changes; this is soon said."""
        return (
            (self.state is None or state is self.state)
            and (self.named is None or self.named(addresses))
            and (self.client is None or self.client(addresses))
            and (self.transceiver is None or self.transceiver(addresses))
        )

    def has(self, entry: FlowEntry, now: float) -> bool:
        """Whether a flow is meant, at a moment of the monotonic clock."""
        if not self.admits(entry.addresses, entry.state):
            return False
        if self.one_way and not entry.one_way(now):
            return False
        if self.idle is not None and (entry.idle(now) or 0.0) < self.idle:
            return False
        if self.asks_for_age:
            age = now - entry.opened
            if (self.older or 0.0) > age or (self.younger is not None and age > self.younger):
                return False
        return True


def _state(text: str) -> State:
    try:
        return State(text)
    except ValueError:
        names = " or ".join(each.value for each in State)
        raise ConfigError(f"--state {text!r}: write {names}") from None
