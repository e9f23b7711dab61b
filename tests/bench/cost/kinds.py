"""The packets whose cost is measured: what they are, and what must become of them."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address

from relay.dataplane.kernel import bpfsys
from relay.dataplane.kernel.pins import Pins
from tests.bench.compare.systems import ceiling
from tests.bench.compare.systems.constants import Constants, Way
from tests.bench.cost import chase, frames
from tests.bench.cost.driver import Packets
from tests.bench.cost.site import CLIENT_PORTS, INTERNAL, IPV4, PORTS, PUBLIC, Family, Site

TO_TRANSCEIVER, TO_CLIENT = "to transceiver", "to client"
CONSTANT_NAT, FIB_CEILING = "constant NAT", "FIB ceiling"
MEMORY = "a line of memory"

_DROP, _REDIRECT = 1, 4  # enum xdp_action


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of packet to measure.

    Attributes:
        name: What people call it.
        way: Which way it goes.
        program: What is run.
        packets: The packets.
        reason: What the relay's program counts it under; empty for another program.
        verdict: What the program returns; None where it depends on rates.
    """

    name: str
    way: str
    program: int
    packets: Packets
    reason: str = ""
    verdict: int | None = _REDIRECT

    @property
    def is_hit(self) -> bool:
        """Whether the relay's program forwards it, and remembers something of its flow."""
        return bool(self.reason) and self.verdict == _REDIRECT


def hit(family: Family) -> str:
    """The name of a hit."""
    return f"{family.name} hit"


@contextmanager
def kinds(site: Site, flows: int) -> Iterator[list[Kind]]:
    """What is measured on a site.

    On one of IPv4 there are also packets without a flow, and the programs that the relay's is
    compared with.

    Args:
        site: Where.
        flows: How many flows it has.

    Raises:
        LabError: A program to compare with cannot be built.
    """
    with ExitStack() as stack:
        program = bpfsys.obj_get(Pins(site.instance).program)
        stack.callback(os.close, program)
        found = [*_hits(site, program)]
        if site.family is IPV4:
            constants = _constants(site).programs()
            for fd in constants.values():
                stack.callback(os.close, fd)
            found += [*_compared(site, constants), *_without_flow(site, program)]
            one_access = chase.program(flows)
            stack.callback(os.close, one_access)
            there, _ = _ways(site)
            found.append(Kind(MEMORY, f"of {flows:,}", one_access, there, verdict=_DROP))
        yield found


def _hits(site: Site, program: int) -> Iterator[Kind]:
    name, (there, back) = hit(site.family), _ways(site)
    yield Kind(name, TO_TRANSCEIVER, program, there, "forwarded_to_transceiver")
    yield Kind(name, TO_CLIENT, program, back, "forwarded_to_client")


def _compared(site: Site, constants: dict[str, int]) -> Iterator[Kind]:
    there, back = _ways(site)
    for name, program in ((CONSTANT_NAT, "nat"), ("bare redirect", "redirect")):
        yield Kind(name, TO_TRANSCEIVER, constants[f"{program}_there"], there)
        yield Kind(name, TO_CLIENT, constants[f"{program}_back"], back)
    client, transceiver = site.family.client(0), site.family.transceiver
    there = _from_clients(site, frames.from_client(client, transceiver))
    back = _to_clients(site, frames.from_transceiver(transceiver, client))
    yield Kind(FIB_CEILING, TO_TRANSCEIVER, ceiling.program(), there)
    yield Kind(FIB_CEILING, TO_CLIENT, ceiling.program(), back)


def _without_flow(site: Site, program: int) -> Iterator[Kind]:
    stranger = site.family.client(0)._replace(port=1)
    forged = frames.forged_request(site.route)
    for name, payload, reason, verdict in (
        ("miss", frames.RTP, "unknown_client", None),
        ("forged STUN", forged, "stun_forged", _DROP),
    ):
        sent = _from_clients(
            site,
            frames.from_client(stranger, site.family.vip, payload),
            ports=CLIENT_PORTS.start - stranger.port,  # those that no client of a flow has
        )
        yield Kind(name, TO_TRANSCEIVER, program, sent, reason, verdict)


def _ways(site: Site) -> tuple[Packets, Packets]:
    """Packets of flows, both ways."""
    family = site.family
    there = frames.from_client(family.client(0), family.vip)
    back = frames.from_transceiver(family.transceiver, family.upstream(0))
    return _from_clients(site, there), Packets(
        back,
        address_at=frames.last_word_of_destination(back),
        flows_of_address=len(PORTS),
        port_at=frames.destination_port(back),
        ports=len(PORTS),
        checksum_at=frames.header_checksum(back),
        interface=site.index(INTERNAL),
    )


def _from_clients(site: Site, frame: bytes, ports: int = len(CLIENT_PORTS)) -> Packets:
    return Packets(
        frame,
        address_at=frames.last_word_of_source(frame),
        flows_of_address=1,
        port_at=frames.source_port(frame),
        ports=ports,
        checksum_at=frames.header_checksum(frame),
        interface=site.index(PUBLIC),
    )


def _to_clients(site: Site, frame: bytes) -> Packets:
    """Packets past the relay, which the host would route."""
    return Packets(
        frame,
        address_at=frames.last_word_of_destination(frame),
        flows_of_address=1,
        port_at=frames.destination_port(frame),
        ports=len(CLIENT_PORTS),
        checksum_at=frames.header_checksum(frame),
        interface=site.index(INTERNAL),
    )


def _constants(site: Site) -> Constants:
    family = site.family
    upstream, client = (IPv4Address(each(0).host) for each in (family.upstream, family.client))
    return Constants(
        there=Way(site.index(INTERNAL), frames.TRANSCEIVER_MAC + frames.INTERNAL_MAC),
        back=Way(site.index(PUBLIC), frames.CLIENT_MAC + frames.PUBLIC_MAC),
        vip=family.vip,
        transceiver=family.transceiver,
        offset=int(upstream) - int(client),
    )
