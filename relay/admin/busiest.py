"""Which of an agent's flows move most, of tens of thousands, at a small cost.

An answer is about a short time: the agent notes what its flows have carried, waits, and looks
again. So it keeps nothing for those who ask, and costs nothing while nobody does. It counts what
the agent itself forwards; what the kernel does stands in its maps, which whoever asks reads.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import nlargest, nsmallest
from itertools import chain, count
from operator import attrgetter
from typing import Any, Self

from relay.admin.oneway import HEARD, SILENT, heard_alone
from relay.admin.typedfilter import ALL, FlowFilter, Word
from relay.core.flow import NEVER, Flow, State
from relay.errors import AdminError
from relay.pace import Pace
from relay.wire.endpoint import PACKED_SIZE, Endpoint
from relay.wire.errors import EndpointError
from relay.wire.route import TARGET, Target
from relay.wire.transport import Transport

#: By what flows can be sorted, the largest first; the last two from A to Z.
SORTS = ("bits", "packets", "total", "idle", "age", "client", "transceiver")
MOST_ROWS = 1000
LONGEST = 4.0  # seconds; who asks waits for 5
_RATES = ("bits", "packets")
_UPWARD = ("client", "transceiver")
_PIECE = 1000  # flows, which take a millisecond
_COUNTS = attrgetter(
    *("packets_to_transceiver", "bytes_to_transceiver", "packets_to_client", "bytes_to_client")
)
_Counts = tuple[int, int, int, int]
_LEADS_TO = slice(3 * PACKED_SIZE, 4 * PACKED_SIZE + TARGET.stop)  # of a flow: the transceiver


@dataclass(frozen=True, slots=True)
class Question:
    """What somebody wants to see.

    Attributes:
        limit: How many flows.
        over: For how long to look, in seconds.
        sort: One of `SORTS`.
        reverse: Whether the other end of the list is wanted.
        wanted: Which flows.
        shown: Client and VIP, packed, of a flow that is wanted whatever it carries.
        connection: Whether that one's client connects over TCP.
        transceivers: Whether sums for each transceiver are wanted, too; then it is sorted by rate.
    """

    limit: int = 50
    over: float = 1.0
    sort: str = "bits"
    reverse: bool = False
    wanted: FlowFilter = ALL
    shown: bytes | None = None
    connection: bool = False
    transceivers: bool = False

    @classmethod
    def parse(cls, request: Mapping[str, Any]) -> Self:
        """Read a question at the admin socket.

        Raises:
            AdminError: It is none.
        """
        try:
            shown = request.get("show")
            question = cls(
                min(max(0, int(request.get("limit", 50))), MOST_ROWS),
                min(max(0.0, float(request.get("over", 1.0))), LONGEST),
                str(request.get("sort", "bits")),
                bool(request.get("reverse", False)),
                FlowFilter.parse(str(request.get("filter", ""))),
                _ends(shown) if shown is not None else None,
                shown is not None and shown.get("transport") == Transport.TCP.value,
                bool(request.get("transceivers", False)),
            )
        except (TypeError, ValueError, KeyError, AttributeError, EndpointError) as error:
            raise AdminError(f"this is no question about flows: {error}") from None
        if question.sort not in SORTS:
            raise AdminError(f"flows are sorted by {', '.join(SORTS)}")
        if question.transceivers and question.sort not in _RATES:
            return replace(question, sort=_RATES[0])
        return question

    @property
    def upward(self) -> bool:
        """Whether the least come first."""
        return (self.sort in _UPWARD) != self.reverse


async def busiest(
    flows: Sequence[Flow],
    question: Question,
    *,
    clock: Callable[[], float],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> dict[str, Any]:
    """Look at flows for a while.

    Args:
        flows: The session table's.
        question: Which are wanted.
        clock: Seconds of the monotonic clock.
        sleep: Waits for so many seconds.

    Returns:
        The `flows`, each with its addresses, state, what its agent knows of it, and for both
        directions packets and bytes in all and a second; how many are `matching` and `one_way`;
        and the `transceivers` if they are wanted.
    """
    pace = Pace()
    survey = _Survey(question, clock())
    for start in range(0, len(flows), _PIECE):
        survey.look_at(flows[start : start + _PIECE])
        await pace.rest()
    looked = clock()
    noted: list[_Counts] = []
    for start in range(0, len(survey.candidates), _PIECE):
        noted += map(_COUNTS, survey.candidates[start : start + _PIECE])
        await pace.rest()
    await sleep(question.over)
    elapsed = max(clock() - looked, 1e-3)
    found = survey.candidates, noted
    if question.sort in _RATES:
        chosen = await _fastest(*found, question, pace)
    else:
        chosen = list(range(min(question.limit, len(noted))))
    if survey.shown is not None:
        chosen.append(survey.candidates.index(survey.shown))
    now = clock()
    rows = [_row(found[0][at], found[1][at], elapsed, now) for at in dict.fromkeys(chosen)]
    answer: dict[str, Any] = {
        "flows": rows,
        "matching": survey.matching,
        "one_way": survey.one_way,
    }
    if question.transceivers:
        answer["transceivers"] = await _by_transceiver(survey.all, *found, elapsed, pace)
    return answer


def combined(answers: Sequence[Mapping[str, Any]], question: Question) -> dict[str, Any]:
    """The answers of several agents to one question, as one of the flows of all."""
    shown = question.shown
    rows = sorted(
        chain.from_iterable(answer["flows"] for answer in answers),
        key=ROW_KEYS[question.sort],
        reverse=not question.upward,
    )
    whole: dict[str, Any] = {
        "flows": [
            row
            for at, row in enumerate(rows)
            if at < question.limit or (shown is not None and _ends(row) == shown)
        ],
        "matching": sum(answer["matching"] for answer in answers),
        "one_way": sum(answer["one_way"] for answer in answers),
    }
    if question.transceivers:
        sums: dict[tuple[str, str], dict[str, Any]] = {}
        for each in chain.from_iterable(answer["transceivers"] for answer in answers):
            add_transceiver(sums, each)
        whole["transceivers"] = list(sums.values())
    return whole


def add_transceiver(sums: dict[tuple[str, str], dict[str, Any]], more: Mapping[str, Any]) -> None:
    """Add what somebody knows of a transceiver to what others know of it."""
    key = more["transceiver"], more["target"]
    ways = ("to_transceiver", "to_client")
    there = sums.setdefault(key, {**more, "flows": 0, **{way: {} for way in ways}})
    there["flows"] += more["flows"]
    for way in ways:
        for name, rate in more[way].items():
            there[way][name] = there[way].get(name, 0) + rate


def _ends(row: Mapping[str, Any]) -> bytes:
    return b"".join(Endpoint.parse(row[end]).packed for end in ("client", "vip"))


class _Survey:
    """A first look at all flows: which of them are wanted, and which may be among the first."""

    def __init__(self, question: Question, now: float) -> None:
        self._question = question
        self._now = now
        self.matching = self.one_way = 0
        self.all: list[Flow] = []  # that match, where all are wanted
        self.candidates: list[Flow] = []
        self.shown: Flow | None = None
        self._transceivers: dict[Word, tuple[set[bytes], set[bytes]]] = {}

    def look_at(self, flows: Sequence[Flow]) -> None:
        question, heard = self._question, self._now - HEARD
        if question.shown is not None:
            self._find(flows, question.shown)
        matching = self._wanted(flows)
        moving = [
            flow
            for flow in matching
            if flow.last_from_client > heard or flow.last_from_transceiver > heard
        ]
        self.matching += len(matching)
        silent = self._now - SILENT  # looked for here, as a call for each flow takes longer
        half = [
            flow
            for flow in moving
            if flow.last_from_client < silent or flow.last_from_transceiver < silent
        ]
        self.one_way += sum(map(self._is_one_way, half))
        if question.transceivers:
            self.all += matching
        if question.sort in _RATES:
            self.candidates += moving
            if len(self.candidates) < question.limit:  # those that rest fill the list up
                there = set(moving)
                self.candidates += [each for each in matching if each not in there][
                    : question.limit - len(self.candidates)
                ]
        else:
            key = _KEYS[question.sort]
            first = nsmallest if question.upward else nlargest
            among = chain(self.candidates, matching)
            self.candidates = first(question.limit, among, key=key)
        if self.shown is not None and self.shown not in self.candidates:
            self.candidates.append(self.shown)

    def _find(self, flows: Sequence[Flow], ends: bytes) -> None:
        for flow in flows:
            if flow.addresses.startswith(ends) and flow.is_connection == self._question.connection:
                self.shown = flow

    def _wanted(self, flows: Sequence[Flow]) -> Sequence[Flow]:
        wanted = self._question.wanted
        for word in wanted.words:
            fitting, start = self._fitting(word, flows), word.start
            flows = [
                flow
                for flow in flows
                if (flow.addresses.startswith(start) and word.fits_client(flow.addresses))
                or flow.addresses[_LEADS_TO] in fitting
            ]
        if wanted.state is not None:
            flows = [flow for flow in flows if flow.state.value == wanted.state]
        return list(filter(self._is_one_way, flows)) if wanted.one_way else flows

    def _fitting(self, word: Word, flows: Sequence[Flow]) -> set[bytes]:
        """Which transceivers a word fits, of those of some flows and of those before."""
        seen, fitting = self._transceivers.setdefault(word, (set(), set()))
        for leads_to in {flow.addresses[_LEADS_TO] for flow in flows} - seen:
            seen.add(leads_to)
            address = str(Endpoint.unpack(leads_to[:PACKED_SIZE]))
            if word.fits_transceiver(address, leads_to[PACKED_SIZE:][TARGET]):
                fitting.add(leads_to)
        return fitting

    def _is_one_way(self, flow: Flow) -> bool:
        silent = self._now - flow.last_from_client, self._now - flow.last_from_transceiver
        return flow.state is State.CONFIRMED and heard_alone(*silent) is not None


_KEYS: Mapping[str, Callable[[Flow], Any]] = {
    "total": lambda flow: flow.bytes_to_transceiver + flow.bytes_to_client,
    "idle": lambda flow: -max(flow.last_from_client, flow.last_from_transceiver),
    "age": lambda flow: -flow.opened.monotonic,
    "client": lambda flow: flow.addresses.packed_client,
    "transceiver": lambda flow: flow.addresses.packed_transceiver,
}


def _both(row: Mapping[str, Any], name: str) -> Any:
    return row["to_transceiver"][name] + row["to_client"][name]


def _idle_of(row: Mapping[str, Any]) -> float:
    ways = (row[way]["idle_seconds"] for way in ("to_transceiver", "to_client"))
    return min((idle for idle in ways if idle is not None), default=float("inf"))


#: The same for rows of an answer.
ROW_KEYS: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "bits": lambda row: _both(row, "bit_rate"),
    "packets": lambda row: _both(row, "packet_rate"),
    "total": lambda row: _both(row, "bytes"),
    "idle": _idle_of,
    "age": lambda row: row["age_seconds"] or 0.0,
    "client": lambda row: Endpoint.parse(row["client"]).packed,
    "transceiver": lambda row: Endpoint.parse(row["transceiver"]).packed,
}


async def _fastest(
    flows: Sequence[Flow], noted: Sequence[_Counts], question: Question, pace: Pace
) -> list[int]:
    """Where those are that have carried most since they were noted."""
    moved: list[int] = []
    for start in range(0, len(noted), _PIECE):
        pairs = zip(flows[start : start + _PIECE], noted[start : start + _PIECE], strict=True)
        if question.sort == "bits":
            moved += [
                flow.bytes_to_transceiver + flow.bytes_to_client - then[1] - then[3]
                for flow, then in pairs
            ]
        else:
            moved += [
                flow.packets_to_transceiver + flow.packets_to_client - then[0] - then[2]
                for flow, then in pairs
            ]
        await pace.rest()
    if question.reverse:
        moved = [-each for each in moved]
    # A loop over plain numbers is several times as fast as one with keys.
    first = nlargest(question.limit, zip(moved, count(0, -1), strict=False))
    return [-at for _, at in first]


def _row(flow: Flow, then: _Counts, elapsed: float, now: float) -> dict[str, Any]:
    addresses = flow.addresses
    inward, outward = _COUNTS(flow)[:2], _COUNTS(flow)[2:]
    return {
        "client": str(addresses.client),
        "transport": addresses.transport.value,
        "vip": str(addresses.vip),
        "upstream": str(addresses.upstream),
        "transceiver": str(addresses.transceiver),
        "target": str(flow.target),
        "route": addresses.route.hex(),
        "state": flow.state.value,
        "to_transceiver": _direction(inward, then[:2], elapsed, now - flow.last_from_client),
        "to_client": _direction(outward, then[2:], elapsed, now - flow.last_from_transceiver),
        "age_seconds": round(now - flow.opened.monotonic, 1) if flow.opened.monotonic else None,
        "epoch": flow.epoch,
        "stored_seconds": None if flow.stored_at == NEVER else round(now - flow.stored_at, 1),
        "claimed": flow.claimed,
        "ended": flow.has_ended,
        "introduced": str(flow.introduced.client) if flow.introduced is not None else None,
    }


def _direction(
    counts: Sequence[int], then: Sequence[int], elapsed: float, idle: float
) -> dict[str, Any]:
    packets, size = counts
    return {
        "packets": packets,
        "bytes": size,
        "packet_rate": round((packets - then[0]) / elapsed, 1),
        "bit_rate": round(8 * (size - then[1]) / elapsed),
        "idle_seconds": round(idle, 2) if idle < float("inf") else None,
    }


async def _by_transceiver(
    flows: Sequence[Flow],
    moving: Sequence[Flow],
    noted: Sequence[_Counts],
    elapsed: float,
    pace: Pace,
) -> list[dict[str, Any]]:
    """What goes to each transceiver and comes from it."""
    sums: dict[bytes, list[int]] = {}
    for start in range(0, len(flows), _PIECE):
        there = Counter([flow.addresses[_LEADS_TO] for flow in flows[start : start + _PIECE]])
        for leads_to, number in there.items():
            sums.setdefault(leads_to, [0] * 5)[0] += number
        await pace.rest()
    for start in range(0, len(noted), _PIECE):
        pairs = zip(moving[start : start + _PIECE], noted[start : start + _PIECE], strict=True)
        for flow, then in pairs:
            sum_of, now = sums[flow.addresses[_LEADS_TO]], _COUNTS(flow)
            sum_of[1] += now[0] - then[0]
            sum_of[2] += now[1] - then[1]
            sum_of[3] += now[2] - then[2]
            sum_of[4] += now[3] - then[3]
        await pace.rest()
    return list(_summed(sums, elapsed))


def _summed(sums: Mapping[bytes, Sequence[int]], elapsed: float) -> Iterator[dict[str, Any]]:
    """Sums by packed transceiver and, behind that, the route up to its target."""
    for leads_to, (flows, packets, size, packets_back, size_back) in sums.items():
        yield {
            "transceiver": str(Endpoint.unpack(leads_to[:PACKED_SIZE])),
            "target": str(Target.unpack(leads_to[PACKED_SIZE:][TARGET])),
            "flows": flows,
            "to_transceiver": _rates(packets, size, elapsed),
            "to_client": _rates(packets_back, size_back, elapsed),
        }


def _rates(packets: int, size: int, elapsed: float) -> dict[str, float]:
    return {"packet_rate": round(packets / elapsed, 1), "bit_rate": round(8 * size / elapsed)}
