"""Forwarding by constants: the bare redirect, and the NAT that looks nothing up."""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address

from relay.wire.endpoint import Endpoint
from tests.bench.compare.systems.build import HERE
from tests.bench.compare.systems.flows import NumberedFlows, straight
from tests.bench.compare.testbed.bpfbuild import Build, built, missing_bcc
from tests.bench.compare.testbed.system import Flow, Leg, RunningSystem
from tests.bench.compare.testbed.testbed import MOST_FLOWS, Testbed
from tests.bench.compare.traffic.attach import attached
from tests.lab.topology import CLIENT, INTERNAL, PUBLIC, RELAY, TRANSCEIVER

_PORT_OFFSET = 1  # from a client's port to its upstream port: one that has to be written


@dataclass(frozen=True, slots=True)
class Way:
    """Where packets of one direction go.

    Attributes:
        ifindex: The interface that they leave by.
        macs: Destination and source, as they lie in a frame.
    """

    ifindex: int
    macs: bytes

    def defines(self, suffix: str) -> list[str]:
        """What the programs call it."""
        first = int.from_bytes(self.macs[:8], sys.byteorder)
        last = int.from_bytes(self.macs[8:], sys.byteorder)
        return [
            f"IFINDEX_{suffix}={self.ifindex}",
            f"MACS_{suffix}={first:#x}ULL",
            f"MACS_{suffix}_LAST={last:#x}U",
        ]


@dataclass(frozen=True, slots=True)
class Constants:
    """What the programs know.

    Attributes:
        there: Where packets to the transceiver go.
        back: Where packets to clients go.
        vip: The relay's public transport address.
        transceiver: The transceiver's transport address.
        offset: What is added to a client's address to get its upstream address.
    """

    there: Way
    back: Way
    vip: Endpoint
    transceiver: Endpoint
    offset: int

    def upstream(self, client: Endpoint) -> Endpoint:
        """The upstream address of a client."""
        host = IPv4Address(client.host) + self.offset
        return Endpoint(str(host), client.port + _PORT_OFFSET)

    def programs(self) -> dict[str, int]:
        """Descriptors of the programs by name, which are the caller's from then on.

        Raises:
            LabError: They cannot be built.
        """
        defines = [
            *self.there.defines("THERE"),
            *self.back.defines("BACK"),
            f"VIP={int(IPv4Address(self.vip.host)):#x}",
            f"VIP_PORT={self.vip.port}",
            f"TRANSCEIVER={int(IPv4Address(self.transceiver.host)):#x}",
            f"TRANSCEIVER_PORT={self.transceiver.port}",
            f"ADDRESS_OFFSET={self.offset}",
            f"PORT_OFFSET={_PORT_OFFSET}",
        ]
        names = tuple(f"{name}_{way}" for name in ("redirect", "nat") for way in ("there", "back"))
        return built(Build(str(HERE), ("constants.bpf.c",), names, defines=defines))


class _ByConstants:
    """What both systems have in common: two programs, one for each interface."""

    max_flows = MOST_FLOWS

    def __init__(self, program: str) -> None:
        self._program = program

    def missing(self) -> str | None:
        """Why it cannot take part on this machine."""
        return missing_bcc()

    @contextmanager
    def _attached(self, testbed: Testbed) -> Iterator[Constants]:
        """Run it on both interfaces.

        Raises:
            LabError: The programs cannot be built or attached.
        """
        constants = _constants(testbed)
        relay = testbed.hosts[RELAY]
        with ExitStack() as stack:
            programs = constants.programs()
            for fd in programs.values():
                stack.callback(os.close, fd)
            stack.enter_context(attached(relay, PUBLIC, programs[f"{self._program}_there"]))
            stack.enter_context(attached(relay, INTERNAL, programs[f"{self._program}_back"]))
            yield constants


class BareRedirect(_ByConstants):
    """An XDP program that redirects what it gets, whatever that is."""

    name = "bare redirect"

    def __init__(self) -> None:
        super().__init__("redirect")

    @contextmanager
    def running(self, testbed: Testbed, flows: int) -> Iterator[RunningSystem]:
        """Run it; it knows no flows, so none have to be opened.

        Raises:
            LabError: The programs cannot be built or attached.
        """
        with self._attached(testbed):
            yield RunningSystem(straight(testbed, flows))


class ConstantNat(_ByConstants):
    """An XDP program that translates addresses by constants: the limit of the relay's job."""

    name = "constant NAT"

    def __init__(self) -> None:
        super().__init__("nat")

    @contextmanager
    def running(self, testbed: Testbed, flows: int) -> Iterator[RunningSystem]:
        """Run it; it knows no flows, so none have to be opened.

        Raises:
            LabError: The programs cannot be built or attached.
        """
        with self._attached(testbed) as constants:

            def flow(number: int) -> Flow:
                client = testbed.client(number)
                there = Leg(client, testbed.vip)
                return Flow(there, Leg(testbed.transceiver, constants.upstream(client)))

            yield RunningSystem(NumberedFlows(flows, flow))


def _constants(testbed: Testbed) -> Constants:
    with testbed.hosts[RELAY].netlink() as netlink:
        index = {name: netlink.link_lookup(ifname=name)[0] for name in (PUBLIC, INTERNAL)}
    first_upstream, first_client = testbed.upstreams[0], testbed.client(0).host
    return Constants(
        there=Way(
            index[INTERNAL], testbed.mac(TRANSCEIVER, INTERNAL) + testbed.mac(RELAY, INTERNAL)
        ),
        back=Way(index[PUBLIC], testbed.mac(CLIENT, PUBLIC) + testbed.mac(RELAY, PUBLIC)),
        vip=testbed.vip,
        transceiver=testbed.transceiver,
        offset=int(IPv4Address(first_upstream)) - int(IPv4Address(first_client)),
    )
