"""What the XDP dataplane is told: when it is loaded, and again whenever an agent starts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from relay.core.rates import Rates
from relay.dataplane.hostfacts import HostFacts
from relay.errors import DataplaneError
from relay.wire.endpoint import Endpoint

MOST_FLOWS = 1 << 24


class Mode(StrEnum):
    """How the program is attached to interfaces."""

    NATIVE = "native"  # in the driver
    GENERIC = "generic"  # in the network stack: any driver, but slow
    AUTO = "auto"  # native, and generic where a driver refuses


@dataclass(frozen=True, slots=True)
class UpstreamRange:
    """An internal address of the relay and its ports that belong to flows.

    Attributes:
        address: The address, canonical text.
        first: The lowest port.
        last: The highest port.
    """

    address: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Settings:
    """What may change while the program runs.

    Attributes:
        vips: The public addresses.
        upstreams: The internal addresses, each at most once.
        route_keys: The 16-byte keys of route tags, by cluster and key slot.
        remote: The clusters elsewhere, whose tags only their own relays can verify.
        rates: How much of what has no confirmed flow may reach the agent.
    """

    vips: tuple[Endpoint, ...]
    upstreams: tuple[UpstreamRange, ...]
    route_keys: Mapping[tuple[int, int], bytes]
    remote: frozenset[int] = frozenset()
    rates: Rates = Rates()  # noqa: RUF009  # it is frozen


@dataclass(frozen=True, slots=True)
class LoadConfig:
    """What is fixed once the program is loaded, and its first settings.

    Attributes:
        instance: Names the pinned state; several instances may share a host.
        interfaces: Those that run the program.
        settings: What may change later.
        max_flows: For how many flows there is room; memory for them is taken at once. None: as
            many as the running program has room for, and else as there are upstream ports.
        mode: How to attach.
        reload: Whether to replace a running program also when its sources have not changed.
        pass_all: Whether everything is passed up to the agent at first, until
            `XdpDataplane.activate`.
        force: Whether another XDP program may be detached from an interface.
    """

    instance: str
    interfaces: tuple[str, ...]
    settings: Settings
    max_flows: int | None = None
    mode: Mode = Mode.AUTO
    reload: bool = False
    pass_all: bool = False
    force: bool = False

    def __post_init__(self) -> None:
        """Refuse what the loader could not use.

        Raises:
            DataplaneError: There is no interface, or no room for a flow.
        """
        if not self.interfaces:
            raise DataplaneError(
                "The XDP dataplane needs an interface: give one to `icelane relay run` or `load` "
                "with --interface."
            )
        if self.max_flows is not None and not 1 <= self.max_flows <= MOST_FLOWS:
            raise DataplaneError(f"{self.max_flows} flows: choose from 1 to {MOST_FLOWS:,}.")

    @property
    def ports(self) -> int:
        """How many upstream ports there are, at all addresses: a flow has one."""
        return sum(each.last - each.first + 1 for each in self.settings.upstreams)


class Outcome(StrEnum):
    """What loading came to."""

    LOADED = "loaded"  # nothing was there before
    REPLACED = "replaced"  # another program ran before; its flows stayed
    KEPT = "kept"  # the same program runs on, with the settings given


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What loading did.

    Attributes:
        instance: The instance's name.
        interfaces: How the program is attached, by interface: ``native`` or ``generic``.
        max_flows: For how many flows there is room.
        outcome: What loading came to.
        program: The kernel's tag of the program.
        kernel: The kernel's release.
        object: Where the compiled program came from, for people; None when the running one was
            kept.
        seconds: How long it took, compiling and attaching included.
        attach_seconds: How long attaching took of that.
        bpffs_mounted: Whether the BPF file system was missing and has been mounted.
        warnings: What the administrator should know.
    """

    instance: str
    interfaces: Mapping[str, str]
    max_flows: int
    outcome: Outcome
    program: str
    kernel: str
    object: str | None
    seconds: float
    attach_seconds: float = 0.0
    bpffs_mounted: bool = False
    warnings: tuple[str, ...] = field(default=())

    @property
    def facts(self) -> HostFacts:
        """What loading found on this host."""
        return HostFacts(
            kernel=self.kernel,
            interfaces=self.interfaces,
            program=self.object or "kept running",
            bpffs_mounted=self.bpffs_mounted,
            milliseconds=round(self.seconds * 1000),
            attach_milliseconds=round(self.attach_seconds * 1000),
        )
