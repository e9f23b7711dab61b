"""How much is measured of the designs: all of it in 16 minutes, or a rough look in three."""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench.alternatives.callpaths.incalls import InCalls
from tests.bench.alternatives.callpaths.ports import PortPath
from tests.bench.alternatives.callpaths.restart import Restart
from tests.bench.alternatives.servers.atscale import Firewall, RelayBack, ServerBack, Sockets
from tests.bench.alternatives.servers.systems import ONE_SERVICE, PORTS
from tests.bench.alternatives.sfu.path import SfuPath
from tests.bench.compare.benchmarks.benchmark import Benchmark
from tests.bench.compare.benchmarks.callsetup import CallSetup
from tests.bench.compare.benchmarks.cpu import Cpu
from tests.bench.compare.benchmarks.forwarding import Forwarding
from tests.bench.compare.benchmarks.memory import Memory
from tests.bench.compare.calls.calltestbed import DIRECT, TURN, CallPath
from tests.bench.compare.systems.coturn import Coturn
from tests.bench.compare.systems.icelane import MAX_CHECKED, Icelane
from tests.bench.compare.testbed.testbed import MOST_FLOWS

_ICELANE = (
    Icelane("icelane xdp", "xdp", MOST_FLOWS),
    Icelane("icelane userspace", "userspace", MAX_CHECKED),
)
_PATHS = (
    *(CallPath(each.name, each.dataplane, redis=True) for each in _ICELANE),
    TURN,
    PortPath("a port per session", direct=True),
    SfuPath("janus"),
    DIRECT,
)
_SERVERS = (ONE_SERVICE, PORTS)
_COTURN = Coturn()

_RATE = 100_000.0  # packets a second; every design forwards more


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of everything.

    Attributes:
        rounds: How often everything is measured, unless told otherwise.
        setups: Calls that are set up one after the other; the first one does not count.
        calls: Calls that are up while packets are watched.
        watched: Seconds for which they are.
        restarted: Calls that are up when the middle is killed.
        after: Seconds for which they are watched afterwards.
        cpu: Seconds of traffic, by each path.
        turns: In how many pieces, by the one path and the other in turn.
        sessions: Sessions at a time.
    """

    rounds: int
    setups: int
    calls: int
    watched: float
    restarted: int
    after: float
    cpu: float
    turns: int
    sessions: int

    def benchmarks(self) -> Sequence[Sequence[Benchmark]]:
        """What is measured, in groups: the same of one design after the other."""
        sessions = self.sessions
        behind = (*_ICELANE, _COTURN, *_SERVERS)
        one_port = (*_ICELANE, _COTURN, ONE_SERVICE)
        return (
            [CallSetup(path, calls=self.setups) for path in _PATHS],
            [InCalls(path, calls=self.calls, seconds=self.watched) for path in _PATHS],
            [Restart(path, calls=self.restarted, seconds=self.after) for path in _PATHS],
            [
                Forwarding(each, 100, [Cpu(seconds=self.cpu, turns=self.turns, rate=_RATE)])
                for each in (*_ICELANE, _COTURN)
            ],
            [Sockets(each, sessions=sessions) for each in behind],
            [
                *(Firewall(each, ports=1, sessions=sessions) for each in one_port),
                Firewall(PORTS, ports=sessions, sessions=sessions, more=20),
            ],
            [Memory(each, flows=sessions) for each in behind],
            [
                *(RelayBack(each, sessions=sessions) for each in _ICELANE),
                *(ServerBack(each, sessions=sessions) for each in _SERVERS),
            ],
        )


FULL = Scale(
    rounds=3,
    setups=5,
    calls=8,
    watched=5.0,
    restarted=4,
    after=8.0,
    cpu=3.2,
    turns=16,
    sessions=10_000,
)
QUICK = Scale(
    rounds=1,
    setups=2,
    calls=2,
    watched=1.0,
    restarted=2,
    after=2.0,
    cpu=0.4,
    turns=4,
    sessions=500,
)
