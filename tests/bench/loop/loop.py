"""An agent with many flows that is restored, listed, killed, adopts them, and writes them again."""

import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from relay.admin.transport import ask, first_piece
from relay.dataplane import xdp
from tests.bench.errors import BenchError
from tests.bench.start.start import POLL, StartBench
from tests.lab.config import RELAY_SERVICE
from tests.lab.topology import RELAY

LIMIT = 120.0  # seconds for a phase
_SWEEPS_SECONDS = 12.0  # in which there are two sweeps, each of which writes its share of flows
_LISTINGS = 3
_KILL_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Phase:
    """What the event loop did during a phase.

    Attributes:
        name: What went on.
        seconds: How long it took.
        turns: Turns of the event loop by their bound in milliseconds, such as "20"; "more".
    """

    name: str
    seconds: float
    turns: Mapping[str, int]

    def longer_than(self, milliseconds: float) -> int:
        """How many turns took longer than a bound."""
        return sum(
            count
            for bound, count in self.turns.items()
            if bound == "more" or float(bound) > milliseconds
        )

    @property
    def longest(self) -> str:
        """The bound in milliseconds that the longest turn was below; "more" than all bounds."""
        used = [bound for bound, count in self.turns.items() if count]
        return used[-1] if used else "0"


class LoopBench(StartBench):
    """A relay with its flows in Redis, whose agent is watched."""

    def phases(self, progress: Callable[[str], None]) -> Iterator[Phase]:
        """Go through all phases.

        Raises:
            LabError: The relay does not start.
            BenchError: A phase does not end.
        """
        try:
            progress("restore from Redis")
            yield self._phase("restore", self._restore, starts=True)
            progress("listing all flows")
            yield self._phase("flows", self._list)
            self._kill()
            progress("adoption")
            yield self._phase("adoption", self._adopt, starts=True)
            progress("sweeps that write flows to Redis")
            yield self._phase("sweeps, mirror", lambda: time.sleep(_SWEEPS_SECONDS))
        finally:
            self._kill()
            xdp.unload(self.instance)

    def _phase(self, name: str, work: Callable[[], object], *, starts: bool = False) -> Phase:
        before = {} if starts else self._turns()
        began = time.monotonic()
        work()
        seconds = time.monotonic() - began
        turns = {bound: count - before.get(bound, 0) for bound, count in self._turns().items()}
        return Phase(name, seconds, turns)

    def _turns(self) -> Mapping[str, int]:
        turns: Mapping[str, int] = first_piece(self._admin, "status")["loop"]["turns_by_ms"]
        return turns

    def _start(self) -> None:
        self._runner.start(self._relay, self._hosts[RELAY]).wait()

    def _restore(self) -> None:
        self._start()
        self._until_all_are_there()

    def _adopt(self) -> None:
        self._start()
        self._until_all_are_there()

    def _list(self) -> None:
        for _ in range(_LISTINGS):
            ask(self._admin, "status", LIMIT)

    def _until_all_are_there(self) -> None:
        deadline = time.monotonic() + LIMIT
        while ask(self._admin, "flow_counts", LIMIT)["confirmed"] < len(self._flows):
            if time.monotonic() > deadline:
                raise BenchError(f"the relay has not got all flows within {LIMIT:.0f} s")
            time.sleep(POLL)

    def _kill(self) -> None:
        process = self._runner.process(RELAY_SERVICE)
        if process is not None:
            process.signal(signal.SIGKILL)
            process.wait(_KILL_SECONDS)
