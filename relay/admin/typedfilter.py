"""Which flows somebody wants to see, by what he types: a client's prefix, a transceiver, a state.

Pure. Words are separated by spaces, and a flow must fit all of them:

* ``10.1``, ``10.1.0.0/16``, ``2001:db8::/32``: a prefix of the client's address (whole parts of
  it), or the start of a transceiver's;
* ``203.0.113.2:40000``, ``[2001:db8::1]:40000``: the client, or the transceiver;
* ``1/20.3``: the transceiver by its route: cluster/slot.generation;
* ``confirmed``, ``pending``, ``one-way``.
"""

import re
import struct
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv6Network, ip_network
from typing import Self

from relay.wire.endpoint import V4_MAPPED, Endpoint
from relay.wire.errors import EndpointError
from relay.wire.route import Target

STATES = ("confirmed", "pending")
ONE_WAY = "one-way"
_DOTTED = re.compile(r"\d{1,3}(\.\d{1,3}){0,3}\.?")
_HEX = re.compile(r"\[?[0-9a-f]{1,4}(:[0-9a-f]{1,4})*:{0,2}")
_V4_BITS = 96  # of an IPv4-mapped address before those of the IPv4 address


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a filter: it fits a flow whose client or whose transceiver it is about.

    Attributes:
        text: The word, in lower case: how a transceiver's address may begin.
        network: The prefix of clients' addresses, of 16 bytes (IPv4 in its mapped form), as a
            number; None: of none.
        mask: Which bits of an address belong to that.
        start: The whole bytes of it.
        port: The client's port; None: any.
        target: The transceiver by its route, packed; None: the word is none.
    """

    text: str
    network: int | None = None
    mask: int = 0
    start: bytes = b""
    port: int | None = None
    target: bytes | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a word; whatever it is, it is the start of some address."""
        try:
            return cls(text, target=Target.parse(text).packed)
        except (ValueError, OverflowError, struct.error):
            pass
        try:
            client = Endpoint.parse(text)
        except EndpointError:
            return cls(text, *_bits(_network(text)))
        return cls(text, *_bits(IPv6Network(client.packed[:16])), client.port)

    def fits_transceiver(self, address: str, target: bytes) -> bool:
        """Whether it is about a transceiver: its address as text, or its packed target."""
        return target == self.target or address.lstrip("[").startswith(self.text.lstrip("["))

    def fits_client(self, client: bytes) -> bool:
        """Whether it is about a client: 18 bytes, as `Endpoint.packed`."""
        return (
            self.network is not None
            and client.startswith(self.start)
            and int.from_bytes(client[:16]) & self.mask == self.network
            and (self.port is None or int.from_bytes(client[16:18]) == self.port)
        )


@dataclass(frozen=True, slots=True)
class FlowFilter:
    """What of all flows is wanted.

    Attributes:
        words: What must fit, each of them.
        state: The state that they must have; None: any.
        one_way: Whether only those are wanted in which one side alone is heard.
    """

    words: tuple[Word, ...] = ()
    state: str | None = None
    one_way: bool = False

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what somebody has typed; every text is a filter, though perhaps one of nothing."""
        words, state, one_way = [], None, False
        for word in text.lower().split():
            if word in STATES:
                state = word
            elif word in (ONE_WAY, "oneway"):
                one_way = True
            else:
                words.append(Word.parse(word))
        return cls(tuple(words), state, one_way)

    @property
    def is_all(self) -> bool:
        """Whether every flow fits."""
        return not (self.words or self.state or self.one_way)


#: The filter that every flow fits.
ALL = FlowFilter()


def _bits(network: IPv6Network | None) -> tuple[int | None, int, bytes]:
    """The network, mask and start of a word."""
    if network is None:
        return None, 0, b""
    start = network.network_address.packed[: network.prefixlen // 8]
    return int(network.network_address), int(network.netmask), start


def _network(text: str) -> IPv6Network | None:
    """The prefix that a word writes, IPv4 in its mapped form."""
    try:
        if "/" in text:
            written = ip_network(text, strict=False)
        elif _DOTTED.fullmatch(text):
            parts = text.rstrip(".").split(".")
            whole = ".".join(parts + ["0"] * (4 - len(parts)))
            written = ip_network(f"{whole}/{8 * len(parts)}", strict=False)
        elif _HEX.fullmatch(text) and ":" in text:
            parts = text.strip("[:").split(":")
            whole = ":".join(parts + ["0"] * (8 - len(parts)))
            written = ip_network(f"{whole}/{16 * len(parts)}", strict=False)
        else:
            written = ip_network(text.strip("[]"))
    except (AddressValueError, ValueError):
        return None
    if isinstance(written, IPv6Network):
        return written
    mapped = V4_MAPPED + written.network_address.packed
    return IPv6Network((mapped, _V4_BITS + written.prefixlen))
