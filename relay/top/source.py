"""Looks at a relay: its agent is asked, and the kernel's memory is read, side by side.

The agent is asked for two things. What it knows of itself is small, and asked for at each look.
Which of its flows move most it finds out over a while, of which it spends a small share on that:
the more flows it has, the less often it is asked (`FLOWS_A_SECOND`). What it does not answer, or
late, is left as it was.
"""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from relay.admin import transport as admin
from relay.admin.busiest import LONGEST, Question
from relay.admin.catalogue import KERNEL_FORWARDED
from relay.admin.place import default_path
from relay.dataplane.interface import DataplaneChoice
from relay.dataplane.kernel.pinnedmap import PinnedMap
from relay.dataplane.kernel.pins import Pins
from relay.errors import AdminError, DataplaneError
from relay.top import model, processors
from relay.top.model import Look, Processor, Rates, Traffic, Wanted

if TYPE_CHECKING:
    from relay.top.kernelflows import KernelFlows

#: How many flows an agent looks at in a second, at most: less than a twentieth of its time.
FLOWS_A_SECOND = 50_000
QUICK = 0.2  # seconds that the first look takes, and the first after another question
_FIRST_ANSWER = 1.0  # seconds in which an agent that lives has answered
_STAT = Path("/proc/stat")


class Source:
    """What is known of one relay.

    Use it as an asynchronous context manager, in which the agent is asked in the background.

    Args:
        instance: The relay's instance.
        path: Its agent's admin socket; None: the usual one.
        interval: Seconds between two looks.

    Attributes:
        news: Set when there is more to show than `picture` has given.
    """

    def __init__(self, instance: str, path: Path | None, interval: float) -> None:
        self._instance = instance
        self._path = path or default_path(instance)
        self._interval = interval
        self._wanted = Wanted()
        self._overview: Mapping[str, Any] | None = None
        self._agent_trouble = ""
        self._kernel_trouble = ""
        self._kernel: KernelFlows | None = None
        self._counters: PinnedMap | None = None
        self._busiest: Mapping[str, Any] = {}
        self._changed = asyncio.Event()
        self._rates = Rates()
        self._times: dict[int, dict[str, int]] = {}
        self._look = Look()
        self._asked_at = 0.0
        self._task: asyncio.Task[None] | None = None
        self.news = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Begin.

        Raises:
            DataplaneError: There is neither an agent nor a loaded program of this instance.
        """
        await self._ask_overview()
        self._read_kernel()
        if self._overview is None and self._kernel is None:
            raise DataplaneError(f"{self._agent_trouble}; and no program: {self._kernel_trouble}")
        self._take()
        self._task = asyncio.create_task(self._follow_busiest())
        return self

    async def __aexit__(self, *_: object) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        self._close_kernel()

    @property
    def wanted(self) -> Wanted:
        """What is to be seen; another wish is followed at once, as far as it can be."""
        return self._wanted

    @wanted.setter
    def wanted(self, wanted: Wanted) -> None:
        if wanted != self._wanted:
            self._wanted = wanted
            self._changed.set()

    async def look(self) -> Look:
        """Look again."""
        await self._ask_overview()
        self._read_kernel()
        self._take()
        return self.picture()

    def picture(self) -> Look:
        """What was seen at the last look, as it is wanted now."""
        question = Question.parse(self._wanted.request(0.0))
        kernel = self._kernel.busiest(question) if self._kernel is not None else {}
        agent = self._busiest if self._overview is not None else {}
        rows = model.merge(
            kernel.get("flows", ()), agent.get("flows", ()), self._of_kernel, question
        )
        shown = next((row for row in rows if model.name_of(row) == self._wanted.shown), None)
        total = self._look.confirmed + (self._look.pending or 0)
        found = max(kernel.get("matching", 0), agent.get("matching", 0), min(len(rows), total))
        return replace(
            self._look,
            rows=rows[: question.limit],
            shown=shown,
            matching=total if question.wanted.is_all else found,
            transceivers=model.by_transceiver(
                kernel.get("transceivers", ()), agent.get("transceivers", ())
            ),
            one_way=self._look.one_way
            if self._forwards_in_kernel
            else agent.get("one_way", self._look.one_way),
        )

    @property
    def _forwards_in_kernel(self) -> bool:
        return self._overview is None or self._overview["dataplane"] == DataplaneChoice.XDP

    def _of_kernel(self, row: model.Row) -> model.Row | None:
        if self._kernel is None or row["transport"] != "udp":
            return None
        found = self._kernel.row_at(row["upstream"])
        return found if found is not None and found["client"] == row["client"] else None

    # What is asked, and read

    async def _ask_overview(self) -> None:
        waits = max(_FIRST_ANSWER, self._interval)
        try:
            async with asyncio.timeout(waits):
                async for piece in admin.pieces(self._path, "overview"):
                    self._asked_at = time.monotonic()
                    self._overview, self._agent_trouble = piece, ""
            if self._overview is not None and "error" in self._overview:
                told, self._overview = self._overview["error"], None
                self._agent_trouble = (
                    f"the agent at {self._path} is of another version of Icelane: {told}"
                )
        except AdminError as error:
            self._overview, self._agent_trouble = None, str(error)
        except TimeoutError:
            self._overview = None
            self._agent_trouble = (
                f"no agent answers at {self._path}: it took longer than {waits:g} s"
            )

    async def _follow_busiest(self) -> None:
        over = QUICK
        while True:
            self._changed.clear()
            began = time.monotonic()
            answered = await self._ask_busiest(self._wanted, over)
            self.news.set()
            if self._changed.is_set():
                over = QUICK
                continue
            looked_at = self._overview["flow_counts"] if self._overview is not None else {}
            every = max(self._interval, sum(looked_at.values()) / FLOWS_A_SECOND)
            over = min(every, LONGEST)
            rest = every - over - (0.0 if answered else time.monotonic() - began)
            rest = max(rest, 0.0 if answered else self._interval)
            with suppress(TimeoutError):
                async with asyncio.timeout(rest):
                    await self._changed.wait()
                over = QUICK

    async def _ask_busiest(self, wanted: Wanted, over: float) -> bool:
        """Ask, until something else is wanted; says whether there was an answer."""
        ask = asyncio.ensure_future(self._answer(wanted, over))
        changed = asyncio.ensure_future(self._changed.wait())
        try:
            await asyncio.wait((ask, changed), return_when=asyncio.FIRST_COMPLETED)
            if ask.done():
                self._busiest = ask.result()
            return ask.done() and bool(self._busiest)
        finally:
            for each in (ask, changed):
                each.cancel()
            await asyncio.gather(ask, changed, return_exceptions=True)

    async def _answer(self, wanted: Wanted, over: float) -> Mapping[str, Any]:
        with suppress(AdminError):
            async for piece in admin.pieces(self._path, "busiest", **wanted.request(over)):
                if "error" not in piece:
                    return piece
        return {}

    def _read_kernel(self) -> None:
        """Look at the kernel's memory; where that is new, or not there any more, as it is now."""
        if self._overview is not None and not self._overview.get("loaded", True):
            self._close_kernel()
            return
        instance = self._instance if self._overview is None else self._overview["instance"]
        try:
            if self._kernel is not None and self._kernel.is_orphaned:
                self._close_kernel()
            if self._kernel is None:
                # Half of the time that a start takes, for who has no kernel's flows to look at.
                from relay.top.kernelflows import KernelFlows  # noqa: PLC0415

                self._kernel = KernelFlows(instance)
                self._counters = PinnedMap(Pins(instance).map("counters"))
            self._kernel.look()
            self._kernel_trouble = ""
        except (DataplaneError, OSError) as error:
            self._close_kernel()
            self._kernel_trouble = str(error)

    def _close_kernel(self) -> None:
        for each in (self._kernel, self._counters):
            if each is not None:
                each.close()
        self._kernel = self._counters = None
        self._kernel_trouble = ""

    # What that comes to

    def _take(self) -> None:
        at = self._asked_at if self._overview is not None else time.monotonic()
        overview: Mapping[str, Any] = self._overview or {}
        by_cpu = self._counted()
        kernel = overview.get("dataplane_counters") or _summed(by_cpu)
        agent = overview.get("counters", {})
        agent_rates = self._rates.of("agent", at, agent)
        kernel_rates = self._rates.of("kernel", at, kernel)
        totals = self._kernel.totals() if self._kernel is not None else {}
        counts = overview.get("flow_counts", {})
        limits = overview.get("limits", {})
        capacity = self._kernel.capacity if self._kernel is not None else 0
        loop = overview.get("loop", {})
        turns = self._rates.of("turns", at, loop.get("turns_by_ms", {}))
        self._look = Look(
            at=at,
            time=time.strftime("%H:%M:%S"),
            instance=overview.get("instance", self._instance),
            overview=self._overview,
            trouble=[each for each in (self._agent_trouble, self._kernel_trouble) if each],
            confirmed=counts.get("confirmed", int(totals.get("flows", 0))),
            pending=counts.get("pending"),
            room=limits.get("flows", capacity),
            one_way=int(totals.get("one_way", 0)),
            traffic=_traffic(agent_rates if self._overview else None, kernel_rates, totals),
            drops=model.drops(agent, kernel, agent_rates, kernel_rates),
            setups=agent_rates.get("confirmed", 0.0),
            busy=self._rates.of("loop", at, {"busy": loop["busy_seconds"]})["busy"]
            if "busy_seconds" in loop
            else None,
            longest=model.longest_turn(turns),
            processors=self._processors(at, by_cpu, overview),
        )

    def _counted(self) -> list[dict[str, int]]:
        """Packets of the program by reason, for each processor."""
        table = self._counters
        if table is None:
            return []
        found = table.by_cpu(table.lookup(table.key.number(0)) or b"")
        shown = [table.value.show(part) for part in found]
        return [{name: n for name, n in each.items() if isinstance(n, int)} for each in shown]

    def _processors(
        self, at: float, by_cpu: list[dict[str, int]], overview: Mapping[str, Any]
    ) -> list[Processor]:
        before, now = self._times, processors.parse(_STAT.read_text(encoding="ascii"))
        self._times = now
        runs: dict[int, str] = {}
        for number, worker in enumerate(overview.get("workers", ())):
            at_it = runs.get(worker["processor"])
            name = f"worker {number}"
            runs[worker["processor"]] = f"{at_it}, {name}" if at_it else name
        return [
            Processor(
                number,
                processors.shares(spent, before.get(number, {})),
                self._rates.of(f"cpu{number}", at, model.verdicts(by_cpu[number]))
                if number < len(by_cpu)
                else {},
                runs.get(number, ""),
            )
            for number, spent in sorted(now.items())
        ]


def _summed(by_cpu: list[dict[str, int]]) -> dict[str, int]:
    return {name: sum(each[name] for each in by_cpu) for name in (by_cpu[0] if by_cpu else ())}


def _traffic(
    agent: Mapping[str, float] | None, kernel: Mapping[str, float], totals: Mapping[str, float]
) -> dict[str, Traffic]:
    """What each dataplane forwards a second; of each only where it is there."""
    packets = ("forwarded_to_transceivers", "forwarded_to_clients")
    sizes = ("bytes_to_transceivers", "bytes_to_clients")
    found = {}
    if kernel:
        forwarded = sum(kernel.get(name, 0.0) for name in KERNEL_FORWARDED.values())
        found[model.KERNEL] = Traffic(forwarded, totals.get("bit_rate", 0.0))
    if agent is not None:
        found[model.USERSPACE] = Traffic(
            sum(agent.get(name, 0.0) for name in packets),
            8 * sum(agent.get(name, 0.0) for name in sizes),
        )
    return found
