"""What a viewer shows of a relay: one look, made of what agent and kernel have said. Pure."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from relay.admin import catalogue
from relay.admin.busiest import ROW_KEYS, Question, add_transceiver
from relay.admin.oneway import heard_alone

Row = dict[str, Any]
WAYS = ("to_transceiver", "to_client")
KERNEL, USERSPACE = catalogue.KERNEL, catalogue.USERSPACE
HISTORY = 120  # looks that sparklines know of


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a viewer wants to see.

    Attributes:
        limit: How many flows.
        sort: One of `relay.admin.busiest.SORTS`.
        reverse: Whether the other end comes first.
        filter: See `relay.admin.typedfilter`.
        shown: Client, VIP and transport of a flow that is shown alone.
        transceivers: Whether the sums of transceivers are shown.
    """

    limit: int = 50
    sort: str = "bits"
    reverse: bool = False
    filter: str = ""
    shown: tuple[str, str, str] | None = None
    transceivers: bool = False

    def request(self, over: float) -> dict[str, Any]:
        """The question to an agent, which looks for so many seconds."""
        names = ("client", "vip", "transport")
        return {
            "limit": self.limit,
            "over": over,
            "sort": self.sort,
            "reverse": self.reverse,
            "filter": self.filter,
            "show": self.shown and dict(zip(names, self.shown, strict=True)),
            "transceivers": self.transceivers,
        }


@dataclass(frozen=True, slots=True)
class Traffic:
    """What a dataplane forwards, a second."""

    packets: float = 0.0
    bits: float = 0.0


@dataclass(frozen=True, slots=True)
class Drop:
    """Packets that were dropped for a reason.

    Attributes:
        dataplane: By whom.
        reason: The counter's name.
        total: How many, since it began to count.
        rate: How many a second.
    """

    dataplane: str
    reason: str
    total: int
    rate: float


@dataclass(frozen=True, slots=True)
class Processor:
    """A processor between two looks.

    Attributes:
        number: Its number.
        shares: The shares of its time, by kind: user, system, softirq, steal, idle.
        packets: Packets a second of the XDP program there: forwarded, passed, dropped.
        runs: The relay's processes that run there alone.
    """

    number: int
    shares: Mapping[str, float]
    packets: Mapping[str, float] = field(default_factory=dict)
    runs: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """What a relay does at a moment.

    Attributes:
        at: When, in seconds of the monotonic clock.
        time: The same for people, such as ``12:34:56``.
        instance: The relay's name.
        overview: What its agent says of itself; None where none answers.
        trouble: Why no agent answers, or why the kernel's flows cannot be read.
        confirmed: How many confirmed flows there are.
        pending: How many pending ones; None: nobody knows.
        room: For how many confirmed ones there is room; 0: nobody knows.
        one_way: How many confirmed ones are heard from one side alone.
        traffic: What each dataplane forwards.
        drops: What is dropped, that of now first.
        setups: Flows that are confirmed, a second.
        busy: The share of its time that the agent's event loop works; None: nobody knows.
        longest: The bound in ms of the longest turn since the look before; "": there was none.
        rows: The flows that were asked for, in their order.
        shown: The flow that was asked for by name, if it is there.
        matching: How many there are of these.
        transceivers: Where those go to, the busiest first.
        processors: This host's.
    """

    at: float = 0.0
    time: str = ""
    instance: str = ""
    overview: Mapping[str, Any] | None = None
    trouble: Sequence[str] = ()
    confirmed: int = 0
    pending: int | None = None
    room: int = 0
    one_way: int = 0
    traffic: Mapping[str, Traffic] = field(default_factory=dict)
    drops: Sequence[Drop] = ()
    setups: float = 0.0
    busy: float | None = None
    longest: str = ""
    rows: Sequence[Row] = ()
    shown: Row | None = None
    matching: int = 0
    transceivers: Sequence[Mapping[str, Any]] = ()
    processors: Sequence[Processor] = ()

    @property
    def dataplane(self) -> str:
        """What forwards confirmed flows."""
        return str(self.overview["dataplane"]) if self.overview is not None else KERNEL

    @property
    def dropped(self) -> float:
        """Packets a second that are dropped."""
        return sum(drop.rate for drop in self.drops)


class History:
    """What traffic was in the last looks, for sparklines."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, str], deque[float]] = {}

    def add(self, look: Look) -> None:
        """Take the next look."""
        for dataplane, traffic in look.traffic.items():
            self._add((dataplane, "packets"), traffic.packets)
            self._add((dataplane, "bits"), traffic.bits)
        self._add(("", "drops"), look.dropped)

    def of(self, dataplane: str, what: str) -> Sequence[float]:
        """Packets or bits of a dataplane, or drops of ""; the latest is the last."""
        return list(self._numbers.get((dataplane, what), ()))

    def _add(self, key: tuple[str, str], number: float) -> None:
        self._numbers.setdefault(key, deque(maxlen=HISTORY)).append(number)


class Rates:
    """How fast counters grow, between one look and the next."""

    def __init__(self) -> None:
        self._before: dict[str, tuple[float, Mapping[str, float]]] = {}

    def of(self, name: str, at: float, counters: Mapping[str, float]) -> dict[str, float]:
        """What was counted a second since the look before; 0 where that is not known.

        Args:
            name: Whose counters they are.
            at: When they were read, in seconds of the monotonic clock.
            counters: Them. One that is smaller than before has begun anew.
        """
        then, before = self._before.get(name, (at, {}))
        self._before[name] = at, dict(counters)
        elapsed = at - then
        if elapsed <= 0:
            return dict.fromkeys(counters, 0.0)
        return {
            each: max(0.0, number - before.get(each, 0 if before else number)) / elapsed
            for each, number in counters.items()
        }


def is_one_way(row: Mapping[str, Any]) -> str | None:
    """Which side alone of a flow is heard; see `heard_alone`."""
    if row["state"] != "confirmed":
        return None
    client, transceiver = (
        float("inf") if row[way]["idle_seconds"] is None else row[way]["idle_seconds"]
        for way in WAYS
    )
    return heard_alone(client, transceiver)


def idle(row: Mapping[str, Any]) -> float | None:
    """Seconds since anybody sent something on a flow; None: nobody has."""
    return min(
        (row[way]["idle_seconds"] for way in WAYS if row[way]["idle_seconds"] is not None),
        default=None,
    )


def rate(row: Mapping[str, Any], of: str) -> float:
    """What both directions of a flow carry: its packet_rate or its bit_rate."""
    return float(sum(row[way][of] for way in WAYS))


def name_of(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """What tells a flow from all others."""
    return row["client"], row["vip"], row["transport"]


def merge(
    kernel: Iterable[Row],
    agent: Iterable[Row],
    of_kernel: Callable[[Row], Row | None],
    question: Question,
) -> list[Row]:
    """The flows of kernel and agent as one list, of which each flow is once.

    Args:
        kernel: The kernel's first ones.
        agent: The agent's.
        of_kernel: Gives what the kernel knows of one that the agent alone has named.
        question: How they are sorted.
    """
    rows = {name_of(row): _whole(row) for row in kernel}
    for row in agent:
        there = rows.get(name_of(row)) or of_kernel(row)
        rows[name_of(row)] = _added(there, row) if there is not None else _whole(row)
    return ordered(list(rows.values()), question)


def ordered(rows: Sequence[Row], question: Question) -> list[Row]:
    """Rows in the order that is wanted."""
    wanted = question.wanted
    rows = [
        row
        for row in rows
        if (wanted.state in (None, row["state"]) and (not wanted.one_way or is_one_way(row)))
    ]
    # Equal ones keep their order from look to look.
    rows.sort(key=name_of)
    rows.sort(key=ROW_KEYS[question.sort], reverse=not question.upward)
    return rows


def by_transceiver(*sums: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What kernel and agent know of transceivers, the busiest first."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for each in sums:
        for one in each:
            add_transceiver(found, one)
    return sorted(found.values(), key=lambda one: (-rate(one, "bit_rate"), one["transceiver"]))


def drops(
    agent: Mapping[str, int],
    kernel: Mapping[str, int],
    agent_rates: Mapping[str, float],
    kernel_rates: Mapping[str, float],
) -> list[Drop]:
    """What was dropped, by whom and why: what is so now first."""
    found = [
        Drop(KERNEL, reason, kernel[reason], kernel_rates.get(reason, 0.0))
        for reason in catalogue.KERNEL_DROPS
        if kernel.get(reason)
    ] + [
        Drop(USERSPACE, reason, count, agent_rates.get(reason, 0.0))
        for reason, count in agent.items()
        if count and catalogue.is_drop(reason)
    ]
    return sorted(found, key=lambda drop: (-drop.rate, -drop.total, drop.reason))


def verdicts(counters: Mapping[str, float]) -> dict[str, float]:
    """The XDP program's packets by what became of them: forwarded, passed or dropped."""
    sums = {"forwarded": 0.0, "passed": 0.0, "dropped": 0.0}
    for reason, count in counters.items():
        if reason in catalogue.KERNEL_FORWARDED.values():
            sums["forwarded"] += count
        elif reason in catalogue.KERNEL_DROPS:
            sums["dropped"] += count
        else:
            sums["passed"] += count
    return sums


def longest_turn(turns: Mapping[str, float]) -> str:
    """The bound of the longest turn that there was, in ms, of their rates by bound."""
    return next((bound for bound in reversed(list(turns)) if turns[bound] > 0), "")


def as_json(look: Look) -> dict[str, Any]:
    """A look as plain data, for programs."""
    overview = look.overview or {}
    return {
        "time": look.time,
        "instance": look.instance,
        "agent": overview.get("pid"),
        "ready": overview.get("ready"),
        "dataplane": look.dataplane,
        "trouble": list(look.trouble),
        "flows": {
            "confirmed": look.confirmed,
            "pending": look.pending,
            "room": look.room or None,
            "one_way": look.one_way,
        },
        "setups_per_second": round(look.setups, 2),
        "traffic": {
            name: {"packet_rate": round(each.packets, 1), "bit_rate": round(each.bits)}
            for name, each in look.traffic.items()
        },
        "drops": [
            {
                "dataplane": drop.dataplane,
                "reason": drop.reason,
                "packets": drop.total,
                "packet_rate": round(drop.rate, 1),
            }
            for drop in look.drops
        ],
        "loop_busy": None if look.busy is None else round(look.busy, 4),
        "mirror": overview.get("mirror"),
        "matching": look.matching,
        "busiest": [{**row, "one_way": is_one_way(row)} for row in look.rows],
    }


def _whole(row: Row) -> Row:
    """A row that has all its fields, whoever knows it."""
    ways = {way: {"kernel_packets": 0, "next_hop": None, **row[way]} for way in WAYS}
    unknown = dict.fromkeys(
        ("age_seconds", "epoch", "stored_seconds", "claimed", "ended", "introduced")
    )
    return {**unknown, **row, **ways}


def _added(kernel: Row, agent: Row) -> Row:
    """A flow of which the kernel forwards some packets, and the agent others."""
    return _whole(agent) | {way: _sum(_whole(kernel)[way], agent[way]) for way in WAYS}


def _sum(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    known = [each["idle_seconds"] for each in (one, other) if each["idle_seconds"] is not None]
    numbers = ("packets", "bytes", "packet_rate", "bit_rate")
    return {**one, **{name: one[name] + other[name] for name in numbers}} | {
        "idle_seconds": min(known, default=None)
    }
