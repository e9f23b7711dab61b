"""The XDP dataplane: confirmed flows as entries of pinned maps.

What is loaded is pinned: the program goes on forwarding when this process ends, however it ends,
and the next one works on what it finds.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from socket import AF_INET, socket
from struct import Struct
from typing import TYPE_CHECKING

from relay.core.flowtuple import FlowTuple
from relay.dataplane.flowrecord import FlowRecord
from relay.dataplane.hostfacts import HostFacts
from relay.dataplane.kernel import bpfsys, loader, loforwarding, losses, neighbours
from relay.dataplane.kernel.attach import attached_mode
from relay.dataplane.kernel.config import LoadConfig, LoadReport, Mode
from relay.dataplane.kernel.flowtable import FlowTable
from relay.dataplane.kernel.ingresses import renew_ingresses
from relay.dataplane.kernel.networkchanges import Change
from relay.dataplane.kernel.nexthops import NextHops
from relay.dataplane.kernel.pins import PinnedMap, Pins, locked, update_links
from relay.dataplane.kernel.reattach import reattach, returned_interfaces
from relay.dataplane.kernel.upkeep import Upkeep
from relay.errors import DataplaneError

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
    return loader.load(config)


def is_loaded(instance: str) -> bool:
    """Whether the program of an instance is loaded, as far as this user may see."""
    try:
        return Pins(instance).loaded()
    except PermissionError:
        return False


def unload(instance: str) -> bool:
    """Detach the program and remove its maps, flows and all; says whether it was loaded.

    Raises:
        DataplaneError: This is not root.
    """
    pins = Pins(instance)
    loaded = bool(pins.maps() or pins.links())
    try:
        pins.remove()
    except PermissionError:
        raise DataplaneError("Unloading the program needs root.") from None
    return loaded


@dataclass(frozen=True, slots=True)
class Status:
    """What is loaded of an instance.

    Attributes:
        instance: Its name.
        interfaces: Its interfaces, and how they run the program; None where they do not: the
            interface has gone, or is in another network namespace.
        flows: How many flows are installed.
        max_flows: For how many there is room.
        program: The kernel's tag of the program.
        counters: Packets by reason.
    """

    instance: str
    interfaces: dict[str, str | None]
    flows: int
    max_flows: int
    program: str
    counters: dict[str, int]


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

    Raises:
        DataplaneError: It is not loaded, or this is not root.
    """

    name = "xdp"
    steers = True

    def __init__(
        self, instance: str, mode: Mode = Mode.AUTO, facts: HostFacts | None = None
    ) -> None:
        self.forwards = True
        self.facts = facts or HostFacts()
        self._mode = mode
        self._pins = Pins(instance)
        with ExitStack() as opened:
            self._flows = opened.enter_context(closing(FlowTable(self._pins)))
            self._counters = opened.enter_context(PinnedMap(self._pins.map("counters")))
            self._open = opened.pop_all()
            # Who looks at an instance of an older version finds none.
            self._losses = (
                self._open.enter_context(PinnedMap(self._pins.map(losses.MAP)))
                if losses.MAP in self._pins.maps()
                else None
            )
        self._next_hops: NextHops | None = None
        self._upkeep: Upkeep | None = None
        self._unpack_counters = Struct(f"={self._counters.value.size // 8}Q").unpack

    def steer(self, udp: socket) -> None:
        """Give this socket what comes to any upstream port of its address, until it is closed.

        Raises:
            DataplaneError: The kernel refuses.
        """
        key = (_STEER_IP4 if udp.family == AF_INET else _STEER_IP6).to_bytes(4, sys.byteorder)
        try:
            with bpfsys.pinned(self._pins.steer_sockets) as fd:
                bpfsys.map_update(fd, key, udp.fileno().to_bytes(4, sys.byteorder))
        except OSError as error:
            raise DataplaneError(
                f"The kernel does not steer packets to the agent's socket: {error.strerror}. "
                f"`icelane relay unload --instance {self._pins.instance}` and loading again "
                "renews the program."
            ) from None

    def activate(self) -> None:
        """Forward what is installed, from the next packet on."""
        with locked():
            update_links(self._pins, self._pins.program)
            self.forwards = True

    def deactivate(self) -> None:
        """Leave everything to the agent, from the next packet on; what is installed stays."""
        with locked():
            update_links(self._pins, self._pins.pass_all)
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

        With them, of those that were forwarded, how many were lost on the way out.
        """
        counters = self._counters
        value = counters.lookup(counters.key.number(0)) or b""
        by_cpu = [self._unpack_counters(part) for part in counters.by_cpu(value)]
        names = [leaf.path for leaf in counters.value.leaves]
        counted = dict(zip(names, map(sum, zip(*by_cpu, strict=True)), strict=True))
        return counted | (losses.read(self._losses) if self._losses else {})

    def status(self) -> Status:
        """What is loaded of the instance."""
        with bpfsys.pinned(self._pins.program) as fd:
            program = bpfsys.program_info(fd).tag
        return Status(
            instance=self._pins.instance,
            interfaces=self._modes(),
            flows=self._flows.count(),
            max_flows=self._flows.capacity,
            program=program,
            counters=self.counters(),
        )

    def _modes(self) -> dict[str, str | None]:
        """How the interfaces run the program; None where they do not."""
        away = returned_interfaces(self._pins)
        return {name: None if name in away else _mode_of(name) for name in self._pins.links()}

    def watch(self, loop: "AbstractEventLoop") -> None:
        """Let all flows ask the FIB again when the network changes, until `close`; again is fine.

        Raises:
            DataplaneError: The kernel does not tell of changes.
        """
        if self._upkeep is None:
            self._upkeep = Upkeep(self._pins, self._opened_hops(), loop)
            self._open.callback(self._upkeep.close)

    def changes(self) -> Mapping[str, int]:
        """Changes to this host's network since `watch`, by kind."""
        counted = self._upkeep.counters if self._upkeep else {}
        return {change.value: counted.get(change, 0) for change in Change}

    def reconcile(self) -> list[str]:
        """Let the kernel probe stale neighbours, and attach interfaces that came back.

        Forwarding on the loopback interface, which others switch off unawares, goes on again.
        What `watch` does at once is done here, too, for what it has missed.

        Returns:
            What the administrator should know.

        Raises:
            DataplaneError: That was not possible; the text says why.
        """
        neighbours.probe_stale(self._pins.links())
        self._flows.settle()
        self._opened_hops().tidy()
        mended = loforwarding.mend()
        try:
            changes = self._reattach() if returned_interfaces(self._pins) else []
        except OSError as error:
            raise DataplaneError(
                f"An interface that is back cannot run the program: {error.strerror}."
            ) from None
        try:
            renew_ingresses(self._pins)
        except OSError as error:
            raise DataplaneError(
                f"The kernel does not tell its interfaces: {error.strerror}."
            ) from None
        return mended + changes

    def close(self) -> None:
        """Let go of the maps; what is pinned goes on forwarding."""
        self._open.close()

    def _reattach(self) -> list[str]:
        with locked():  # a loader may be faster
            program = self._pins.program if self.forwards else self._pins.pass_all
            return reattach(self._pins, program, self._mode)

    def _opened_hops(self) -> NextHops:
        if self._next_hops is None:  # who only looks at an instance may meet an older one
            self._next_hops = self._open.enter_context(NextHops(self._pins))
        return self._next_hops


def _mode_of(interface: str) -> str | None:
    try:
        mode = attached_mode(interface)
    except DataplaneError:
        return None
    return str(mode) if mode else None
