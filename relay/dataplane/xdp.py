"""The XDP dataplane: confirmed flows as entries of pinned maps.

What is loaded is pinned: the program goes on forwarding when this process ends, however it ends,
and the next one works on what it finds.
"""

import os
import sys
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from socket import AF_INET, socket
from struct import Struct
from typing import TYPE_CHECKING

from relay.core.flowtuple import FlowTuple, Source
from relay.dataplane.flowrecord import FlowRecord
from relay.dataplane.hostfacts import HostFacts
from relay.dataplane.interface import Usage
from relay.dataplane.kernel import bpfsys, losses, owner, proof
from relay.dataplane.kernel.attach import attached_mode
from relay.dataplane.kernel.config import LoadConfig, LoadReport, Mode
from relay.dataplane.kernel.deliverywatch import DeliveryWatch
from relay.dataplane.kernel.dormantclients import DormantClients
from relay.dataplane.kernel.edges import Edges
from relay.dataplane.kernel.flowtable import FlowTable
from relay.dataplane.kernel.ingresses import renew_ingresses
from relay.dataplane.kernel.networkchanges import Change
from relay.dataplane.kernel.nexthops import NextHops
from relay.dataplane.kernel.pins import Pins
from relay.dataplane.kernel.privileged import AsRoot, Privileged
from relay.dataplane.kernel.reattach import returned_interfaces
from relay.dataplane.kernel.settings import write_route_keys
from relay.dataplane.kernel.txports import renew_tx_ports
from relay.dataplane.kernel.upkeep import Upkeep
from relay.errors import DataplaneError
from relay.wire.endpoint import Endpoint

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

_STEER_IP4, _STEER_IP6 = 0, 1  # enum steer_family in bpf/relay.h


def load(config: LoadConfig) -> LoadReport:
    """Load the program and attach it, from an object that was compiled before where there is one.

    Loading an instance that is loaded replaces its program in one step and keeps its flows; when
    it was built from the same sources, it runs on and gets the settings.

    Raises:
        DataplaneError: That was not possible and nothing changed; the text says what to do.
    """
    return AsRoot(config.instance).load(config)


def is_loaded(instance: str) -> bool:
    """See `Privileged.is_loaded`."""
    return AsRoot(instance).is_loaded()


def unload(instance: str) -> bool:
    """See `Privileged.unload`."""
    return AsRoot(instance).unload()


@dataclass(frozen=True, slots=True)
class Status:
    """What is loaded of an instance.

    Attributes:
        instance: Its name.
        interfaces: Its interfaces, and how they run the program; None where they do not: the
            interface has gone, or is in another network namespace.
        flows: How many flows are installed.
        stashed: How many of them found no place in their buckets.
        max_flows: For how many there is room.
        program: The kernel's tag of the program.
        counters: Packets by reason.
        unseen: What this host does to packets and the program does not know of, in words.
    """

    instance: str
    interfaces: dict[str, str | None]
    flows: int
    stashed: int
    max_flows: int
    program: str
    counters: dict[str, int]
    unseen: tuple[str, ...] = ()


def status(instance: str) -> Status:
    """What is loaded of an instance.

    Raises:
        DataplaneError: It is not loaded, or this is not root.
    """
    try:
        with closing(XdpDataplane(instance)) as dataplane:
            return dataplane.status()
    except FileNotFoundError:
        raise DataplaneError(
            f"{instance} is being unloaded, or was only in part: `icelane relay unload "
            f"--instance {instance}` removes what is left of it."
        ) from None


class XdpDataplane:
    """Confirmed flows in the kernel.

    Args:
        instance: The instance that was loaded.
        mode: How the program is attached to an interface that comes back.
        facts: What loading found on this host, where this process has loaded it.
        told: What the administrator was told then.
        kernel: Does what needs privileges, where this process has none.

    Raises:
        DataplaneError: It is not loaded, or this is not root.
    """

    name = "xdp"
    steers = True

    def __init__(
        self,
        instance: str,
        mode: Mode = Mode.AUTO,
        facts: HostFacts | None = None,
        *,
        told: Iterable[str] = (),
        kernel: Privileged | None = None,
    ) -> None:
        self.forwards = True
        self.facts = facts or HostFacts()
        self._mode = mode
        self._kernel = kernel or AsRoot(instance)
        with ExitStack() as opened:
            self._flows = opened.enter_context(closing(FlowTable(self._kernel)))
            self._counters = opened.enter_context(self._kernel.opened("counters"))
            self._open = opened.pop_all()
            # Who looks at an instance of an older version finds none.
            self._losses = (
                self._open.enter_context(self._kernel.opened(losses.MAP))
                if self._kernel.has(losses.MAP)
                else None
            )
            self._ways = (
                self._open.enter_context(closing(losses.WaysOut(self._kernel)))
                if self._kernel.has(losses.WAYS_OUT)
                else None
            )
            self._delivery = self._watched_delivery()
        self._table = self._kernel.table()
        self.trouble: str | None = None
        self._next_hops: NextHops | None = None
        self._dormant: DormantClients | None = None
        self._edges: Edges | None = None
        self._upkeep: Upkeep | None = None
        self._told = frozenset(told)
        self._unpack_counters = Struct(f"={self._counters.value.size // 8}Q").unpack

    def steer(self, udp: socket) -> None:
        """Give this socket what comes to any upstream port of its address, until it is closed.

        Raises:
            DataplaneError: The kernel refuses.
        """
        key = (_STEER_IP4 if udp.family == AF_INET else _STEER_IP6).to_bytes(4, sys.byteorder)
        try:
            fd = self._kernel.open_steer_sockets()
            try:
                bpfsys.map_update(fd, key, udp.fileno().to_bytes(4, sys.byteorder))
            finally:
                os.close(fd)
        except OSError as error:
            raise DataplaneError(
                f"The kernel does not steer packets to the agent's socket: {error.strerror}. "
                f"`icelane relay unload --instance {self._kernel.instance}` and loading again "
                "renews the program."
            ) from None

    def activate(self) -> None:
        """Forward what is installed, from the next packet on."""
        self._kernel.forward(on=True)
        self.forwards = True
        self.trouble = None
        self._delivery = self._watched_delivery()  # what was wrong may be so no longer

    def deactivate(self) -> None:
        """Leave everything to the agent, from the next packet on; what is installed stays."""
        self._kernel.forward(on=False)
        self.forwards = False

    def install(self, flow: FlowTuple) -> None:
        """Forward both directions of a flow from now on; again is fine.

        Raises:
            DataplaneFull: There is no room; nothing was installed.
            DataplaneError: The kernel refuses.
        """
        self._flows.install(flow)

    def remove(self, flow: FlowTuple) -> None:
        """Stop forwarding a flow; one that is not there is fine.

        An entry that another flow has replaced since, by an install of its own, stays.
        """
        self._flows.remove(flow)

    def expect(self, source: Source) -> None:
        """Pass up what a client sends without having a flow, whatever other clients send."""
        self._opened_dormant().add(source)

    def expect_no_more(self, source: Source) -> None:
        """Treat a client as any other; one that was not expected is fine."""
        self._opened_dormant().discard(source)

    def note_edge(self, edge: Endpoint) -> None:
        """Know that many clients send from an address, on whatever port, through an edge there."""
        self._opened_edges().add(edge)

    def adopt(self, vips: Container[Endpoint]) -> Iterable[tuple[bytes, int, bytes]]:
        """Take over what an agent before this one has left; see `Installed.adopt`."""
        self._opened_dormant().clear()
        self._opened_edges().clear()
        return self._flows.adopt(vips)

    def routes(self) -> Iterable[int]:
        """The `route_word` of each flow's route, in no order."""
        return self._flows.routes()

    def count(self) -> int:
        """How many flows are installed."""
        return self._flows.count()

    def of_client(self, ends: bytes) -> FlowTuple | None:
        """The flow of a client and a VIP, each packed."""
        return self._flows.of_client(ends)

    def at_upstream(self, upstream: bytes) -> FlowTuple | None:
        """The flow at an upstream address, packed."""
        return self._flows.at_upstream(upstream)

    def flows(self) -> Iterator[FlowRecord]:
        """Every flow that is installed, in no order, with its activity."""
        return self._flows.records()

    def tuples(self) -> Iterator[FlowTuple]:
        """Every flow that is installed, in no order."""
        return self._flows.tuples()

    def record(self, flow: FlowTuple) -> FlowRecord:
        """What passed here of a flow; nothing if it is not installed."""
        return self._flows.record(flow)

    def idle(self, before: float) -> Iterator[list[FlowTuple]]:
        """The flows whose transceiver has sent nothing since a moment, batch by batch."""
        return self._flows.idle(before)

    def counters(self) -> dict[str, int]:
        """Packets by reason since the program was loaded, summed over processors.

        What was forwarded and then lost on the way out counts as lost, and not as forwarded.
        """
        if self._losses is None:
            return self._count()
        return losses.delivered(self._losses, self._count) | losses.read(self._losses)

    def usage(self) -> Usage | None:
        """See `Dataplane`."""
        flows = self._flows
        return Usage(flows.count(), flows.capacity, *flows.carried())

    def _count(self) -> dict[str, int]:
        counters = self._counters
        value = counters.lookup(counters.key.number(0)) or b""
        by_cpu = [self._unpack_counters(part) for part in counters.by_cpu(value)]
        names = [leaf.path for leaf in counters.value.leaves]
        return dict(zip(names, map(sum, zip(*by_cpu, strict=True)), strict=True))

    def status(self) -> Status:
        """What is loaded of the instance, as root sees it."""
        pins = AsRoot(self._kernel.instance)
        with bpfsys.pinned(pins.program) as fd:
            program = bpfsys.program_info(fd).tag
        return Status(
            instance=pins.instance,
            interfaces=_modes(pins),
            flows=self._flows.count(),
            stashed=self._flows.stashed(),
            max_flows=self._flows.capacity,
            program=program,
            counters=self.counters(),
            unseen=tuple(pins.unseen()) if owner.is_here(pins) else (),
        )

    def watch(self, loop: "AbstractEventLoop", look: Callable[[], None]) -> None:
        """Let all flows ask the FIB again when the network changes, until `close`; again is fine.

        Args:
            loop: Where it works.
            look: Called, there, when `reconcile` or `is_orphaned` has something to tell.

        Raises:
            DataplaneError: The kernel does not tell of changes.
        """

        def beat() -> None:
            if (self._delivery and self._delivery.has_lost()) or self.is_orphaned():
                look()

        if self._upkeep is None:
            self._flows.hold()
            # Whoever opens maps for this process keeps them open, and may be gone at the next keys.
            self._kernel.opened("route_keys").close()
            self._upkeep = Upkeep(self._kernel, self._opened_hops(), loop, beat)
            self._open.callback(self._upkeep.close)

    def is_orphaned(self) -> bool:
        """Whether the instance was unloaded meanwhile, and perhaps loaded anew: to other maps."""
        return self._kernel.table() != self._table

    def changes(self) -> Mapping[str, int]:
        """Changes to this host's network since `watch`, by kind."""
        counted = self._upkeep.counters if self._upkeep else {}
        return {change.value: counted.get(change, 0) for change in Change}

    def rekey(self, route_keys: Mapping[tuple[int, int], bytes], remote: Iterable[int]) -> None:
        """See `Dataplane`."""
        write_route_keys(self._kernel, route_keys, remote)

    def reconcile(self) -> list[str]:
        """Let the kernel probe stale neighbours, and attach interfaces that came back.

        What others do to packets that the program does not know of is told once, when it is new.
        Forwarding on the loopback interface, which others switch off unawares, goes on again.
        What `watch` does at once is done here, too, for what it has missed.

        Returns:
            What the administrator should know.

        Raises:
            DataplaneError: That was not possible; the text says why.
        """
        self._flows.settle()
        self._opened_hops().tidy()
        mended = self._upkeep.mended() if self._upkeep else []
        try:
            return mended + self._reconcile_with_kernel()
        except DataplaneError:
            ended = self._kernel.trouble()
            if ended is None:
                raise
        news, self.trouble = self.trouble != ended, ended
        return mended + [ended] * news

    def _reconcile_with_kernel(self) -> list[str]:
        """The part of it that takes privileges."""
        self._kernel.probe_neighbours()
        mended = self._kernel.mend_forwarding()
        try:
            changes = self._kernel.follow_interfaces(on=self.forwards, mode=self._mode)
        except OSError as error:
            raise DataplaneError(
                f"An interface that is back cannot run the program: {error.strerror}."
            ) from None
        try:
            renew_ingresses(self._kernel)
            renew_tx_ports(self._kernel)
        except OSError as error:
            raise DataplaneError(
                f"The kernel does not tell its interfaces: {error.strerror}."
            ) from None
        return mended + changes + self._unseen_news() + self._look_after_delivery()

    def close(self) -> None:
        """Let go of the maps; what is pinned goes on forwarding."""
        self._open.close()

    def _look_after_delivery(self) -> list[str]:
        """Leave a mode, or the kernel, where what is sent does not leave."""
        if self._delivery is None or not self.forwards:
            return []
        try:
            refusing = self._delivery.refusing()
            futile = self._delivery.futile()
        except OSError as error:
            raise DataplaneError(
                f"The kernel does not tell its interfaces: {error.strerror}."
            ) from None
        if refusing and self._mode is Mode.AUTO:
            self._kernel.run_generic(on=self.forwards)
            self.trouble = (
                f"{proof.refused(refusing)} Until then all interfaces run it in generic mode, "
                "which is several times slower."
            )
            return [self.trouble]
        if not refusing and not futile:
            return []
        reason = (
            proof.refused(refusing)
            if refusing
            else f"All packets that the program sends through {' and '.join(futile)} are lost "
            "(redirect_failed and transmit_dropped count them)."
        )
        self.deactivate()
        self.trouble = (
            f"{reason} The agent forwards from now on; `icelane dataplane switch xdp --instance "
            f"{self._kernel.instance}` lets the program try again."
        )
        return [self.trouble]

    def _watched_delivery(self) -> DeliveryWatch | None:
        if self._losses is None or self._ways is None:
            return None
        return DeliveryWatch(self._kernel, self._losses, self._ways)

    def _unseen_news(self) -> list[str]:
        found = self._kernel.unseen()
        news = [each for each in found if each not in self._told]
        self._told = frozenset(found)
        return news

    def _opened_dormant(self) -> DormantClients:
        if self._dormant is None:  # who only looks at an instance may meet an older one
            self._dormant = self._open.enter_context(closing(DormantClients(self._kernel)))
        return self._dormant

    def _opened_edges(self) -> Edges:
        if self._edges is None:  # likewise
            self._edges = self._open.enter_context(closing(Edges(self._kernel)))
        return self._edges

    def _opened_hops(self) -> NextHops:
        if self._next_hops is None:  # likewise
            self._next_hops = self._open.enter_context(NextHops(self._kernel))
        return self._next_hops


def _modes(pins: Pins) -> dict[str, str | None]:
    """How the interfaces run the program; None where they do not."""
    away = returned_interfaces(pins)
    return {name: None if name in away else _mode_of(name) for name in pins.links()}


def _mode_of(interface: str) -> str | None:
    try:
        mode = attached_mode(interface)
    except DataplaneError:
        return None
    return str(mode) if mode else None
