"""Samples of a lab's relay: its flows, and how many packets kernel and agent have forwarded."""

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from relay.admin import transport as admin
from relay.admin.listing import list_record
from relay.core.flow import State
from relay.dataplane.kernel.pins import Pins
from relay.dataplane.xdp import XdpDataplane
from relay.errors import AdminError, DataplaneError
from tests.lab.counters import CounterReading

KERNEL_COUNTERS = ("forwarded_to_transceiver", "forwarded_to_client")
AGENT_COUNTERS = ("forwarded_to_transceivers", "forwarded_to_clients")
# From the kernel's maps; from the mirror, the relay's own and those of others.
RECOVERED_COUNTERS = ("adopted", "restored", "taken_over")


@dataclass(frozen=True, slots=True)
class Flow:
    """A confirmed flow.

    Attributes:
        path: Its transport addresses: client, VIP, upstream, transceiver.
        to_transceiver: Packets towards the transceiver.
        to_client: Packets towards the client.
    """

    path: tuple[str, ...]
    to_transceiver: int
    to_client: int

    @classmethod
    def of(cls, listed: Mapping[str, Any]) -> "Flow":
        """Build it from an entry of the list of flows."""
        return cls(
            path=tuple(listed[name] for name in ("client", "vip", "upstream", "transceiver")),
            to_transceiver=listed["to_transceiver"]["packets"],
            to_client=listed["to_client"]["packets"],
        )


@dataclass(frozen=True, slots=True)
class Sample:
    """What the relay reports at one time.

    Attributes:
        by_kernel: Packets that the BPF program has forwarded; None when none is loaded.
        by_agent: Packets that the agent has forwarded; None when none runs.
        recovered_flows: Flows that the agent has recovered: at its start from maps or Redis,
            later from other relays.
        flows: The confirmed flows, from the agent, or from the maps when no agent runs.
    """

    by_kernel: CounterReading | None = None
    by_agent: CounterReading | None = None
    recovered_flows: int = 0
    flows: tuple[Flow, ...] = ()

    def newest(self, earlier: "Sample") -> Flow | None:
        """A flow that was not there in an earlier sample."""
        before = {flow.path for flow in earlier.flows}
        return next((flow for flow in self.flows if flow.path not in before), None)


class Probed(Protocol):
    """A relay on this machine."""

    @property
    def instance(self) -> str:
        """Names its pinned maps."""

    @property
    def admin(self) -> Path:
        """Its admin socket."""


class Probe:
    """Samples a relay from outside, with or without an agent.

    Args:
        relay: The relay, or the lab that has it.
    """

    def __init__(self, relay: Probed) -> None:
        self._admin = relay.admin
        self._instance = relay.instance
        self._pins = Pins(relay.instance)

    def sample(self) -> Sample:
        """Take one sample."""
        by_kernel, listed = self._kernel()
        try:
            status = admin.ask(self._admin, "status")
        except AdminError:
            return Sample(by_kernel, flows=_established(listed))
        counters = Counter(status["counters"])
        return Sample(
            by_kernel=by_kernel,
            by_agent=CounterReading(status["pid"], sum(counters[name] for name in AGENT_COUNTERS)),
            recovered_flows=sum(counters[name] for name in RECOVERED_COUNTERS),
            flows=_established(status["flows"]),
        )

    def _kernel(self) -> tuple[CounterReading | None, list[dict[str, Any]]]:
        try:
            dataplane = XdpDataplane(self._instance)
            owner = self._pins.map("counters").stat().st_ino  # another inode: another map
        except (DataplaneError, FileNotFoundError):
            return None, []
        with closing(dataplane):
            counters = dataplane.counters()
            by_kernel = CounterReading(owner, sum(counters[name] for name in KERNEL_COUNTERS))
            return by_kernel, [list_record(each, now=0.0) for each in dataplane.flows()]


def _established(listed: Iterable[Mapping[str, Any]]) -> tuple[Flow, ...]:
    return tuple(Flow.of(each) for each in listed if each["state"] != State.PENDING.value)
