"""What an agent tells of itself: to its admin socket, metrics, health checks and fleet."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from relay.admin.listing import list_flows
from relay.core.flow import Flow, State
from relay.core.session import SessionTable
from relay.dataplane.interface import Dataplane, DataplaneChoice, Usage
from relay.loopturns import LoopTurns
from relay.run.config import RelayConfig
from relay.run.executor import now
from relay.run.fleet import Fleet, Load
from relay.run.keeper import DataplaneKeeper
from relay.run.sockets import AgentSockets
from relay.run.starttimes import StartTimes
from relay.supervision import Supervisor
from relay.wire.endpoint import Endpoint

if TYPE_CHECKING:
    from relay.run.mirroring import Mirroring


class AgentState:
    """The state of an agent, as others ask for it; asking changes nothing.

    `relay.admin.commands.TellingAgent` and `relay.admin.health.Health` are parts of it.

    Args:
        config: The agent's settings.
        advertised: The addresses that clients are told.
        fleet: Who else is there.
        table: Its flows.
        keeper: Has the dataplane, which may be another one later.
        sockets: Its sockets.
        mirroring: Its mirror, if it has one.
        supervisor: Its background tasks.
        turns: How long the event loop's turns take.
        is_serving: Whether clients are served already.

    Attributes:
        turns: How long the event loop's turns take.
        times: How long the start took.
        spans: Counts the spans that were sent, and those that were not.
    """

    def __init__(
        self,
        config: RelayConfig,
        *,
        advertised: Sequence[Endpoint],
        fleet: Fleet,
        table: SessionTable,
        keeper: DataplaneKeeper,
        sockets: AgentSockets,
        mirroring: "Mirroring | None",
        supervisor: Supervisor,
        turns: LoopTurns,
        is_serving: Callable[[], bool],
    ) -> None:
        self._config = config
        self._advertised = advertised
        self._fleet = fleet
        self._table = table
        self._keeper = keeper
        self._sockets = sockets
        self._mirroring = mirroring
        self._supervisor = supervisor
        self._is_serving = is_serving
        self.turns = turns
        self.times = StartTimes()
        self.spans: Callable[[], dict[str, int]] = dict

    @property
    def forwarder(self) -> DataplaneChoice:
        """What forwards confirmed flows right now."""
        return DataplaneChoice.XDP if self._dataplane.forwards else DataplaneChoice.USERSPACE

    def counters(self) -> dict[str, int]:
        """What the agent itself did, in datagrams by reason."""
        spans = {f"spans_{result}": count for result, count in self.spans().items()}
        return dict(sorted({**self._table.counters, **self._sockets.dropped(), **spans}.items()))

    def dataplane_counters(self) -> dict[str, int]:
        """What the dataplane did with packets, by reason."""
        return self._dataplane.counters()

    def network_changes(self) -> dict[str, int]:
        """Changes to this host's network after which all flows asked the FIB again, by kind."""
        return dict(self._dataplane.changes())

    def flow_counts(self) -> dict[str, int]:
        """How many flows there are, by state."""
        return {state.value: self._table.count(state) for state in State}

    def used(self) -> dict[str, int]:
        """How many flows, pending flows and upstream ports are in use; a port that rests is."""
        return {name: used for name, (used, _) in self._table.used(now()).items()}

    def limits(self) -> dict[str, int]:
        """How many of each there are, or may be."""
        return {name: most for name, (_, most) in self._table.used(now()).items()}

    @property
    def dormant(self) -> int:
        """How many flows of other relays are known, in case that their clients come here."""
        return self._mirroring.dormant if self._mirroring is not None else 0

    def keys(self) -> dict[str, Any]:
        """See `DataplaneKeeper.keys_in_force`; and the slots of each cluster elsewhere."""
        return {**self._keeper.keys_in_force, "edge": self._fleet.edge_keys.slots()}

    def setups(self) -> dict[str, float]:
        """How long flows took to be confirmed, as `Histogram.as_numbers`."""
        return self._table.setups.as_numbers()

    def usage(self) -> Usage | None:
        """How full the dataplane is, and what it has carried."""
        return self._dataplane.usage()

    def mirror(self) -> tuple[float, int] | None:
        """How far Redis is behind, in seconds, and how many requests wait; None without one."""
        if self._mirroring is None:
            return None
        return self._mirroring.mirror.lag, self._mirroring.mirror.waiting

    @property
    def clock_ahead(self) -> float:
        """See `Fleet.clock_ahead`."""
        return self._fleet.clock_ahead

    def unready(self) -> list[str]:
        """Why no new clients should come, a phrase each."""
        starting = [] if self._is_serving() else ["the relay starts"]
        return starting + self._fleet.unready + self._troubles()

    def load(self) -> Load:
        """What the fleet is told of."""
        flows, room = self._table.used(now())["flows"]
        return Load(flows, room, ill=bool(self._troubles()))

    def tasks(self) -> dict[str, dict[str, Any]]:
        """The background tasks."""
        return self._supervisor.states()

    def failures(self) -> dict[str, int]:
        """How often each task, or another place, has failed."""
        return self._supervisor.failures()

    def awake(self) -> list[Flow]:
        """See `SessionTable.awake`."""
        return self._table.awake()

    def overview(self) -> dict[str, Any]:
        """What the agent knows of itself, but for its flows: the admin command `overview`."""
        mirror = self.mirror()
        return {
            "pid": os.getpid(),
            "dataplane": self.forwarder,
            "loaded": self._dataplane.name == DataplaneChoice.XDP,
            "trouble": self._dataplane.trouble,
            "host": self._dataplane.facts.as_json(),
            "start": self.times.as_json(),
            "instance": self._config.instance,
            "vips": [str(vip) for vip in self._config.vips],
            "advertised": [str(each) for each in self._advertised],
            "tcp": [str(each) for each in self._config.tcp],
            "upstreams": list(self._config.upstreams),
            "transceivers": [each.as_json() for each in self._fleet.directory.transceivers],
            "used": self.used(),
            "limits": self.limits(),
            "counters": self.counters(),
            "dataplane_counters": self.dataplane_counters(),
            "network_changes": self.network_changes(),
            "ready": not self.unready(),
            "registry": self._fleet.status(),
            "keys": self.keys(),
            "tasks": self.tasks(),
            "failures": self.failures(),
            "loop": self.turns.as_json(),
            "dormant": self.dormant,
            "flow_counts": self.flow_counts(),
            "mirror": mirror and {"lag_seconds": round(mirror[0], 3), "waiting": mirror[1]},
        }

    async def status(self) -> AsyncIterator[Mapping[str, Any]]:
        """The same and all flows, in pieces: the answer to the admin command `status`."""
        yield {**self.overview(), "flows": []}
        for piece in list_flows(self._table, self._dataplane.record, time.monotonic):
            yield {"flows": piece}
            await asyncio.sleep(0)  # datagrams come first

    # `switch` and others may put another dataplane there.

    @property
    def _dataplane(self) -> Dataplane:
        return self._keeper.dataplane

    def _troubles(self) -> list[str]:
        return [f"{task} fails" for task in self._supervisor.troubles]
