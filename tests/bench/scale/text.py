"""The page of a run, in Markdown: each figure in it is one of the run. Pure."""

from collections.abc import Iterable, Sequence

from relay.core.ports import QUARANTINE
from tests.bench.scale import world
from tests.bench.scale.figures import Event, Figures, Limit, Loss, Staged
from tests.bench.scale.latency import DIRECT, GLOBAL, Row
from tests.bench.scale.load import Load
from tests.bench.scale.run import AIM, LATE

_HEAD = """\
# At the scale of the world

This page says how many relays, cores and Redis servers a fleet needs for the world's calls, what
happens to calls when that fleet changes, and what gives way first. It is a simulation: no machine
here has so many calls. What one packet, one new call and one record cost is
[measured](benchmarks.md); how the world calls is assumed, in one table. `make bench-scale` makes
the page anew, and nothing in it is typed. Run by `{command}`, seed {seed}.
"""
_FIRST = """\
## In short

* **What gives way first**: {what}. There are {used}, and {room} is the most: {times}.
  Remedy: {remedy}.
* {sweep}
* **The busiest cluster**, {region}, has {calls} calls with {relays} relays. The fullest one
  forwards {flows} flows with {cores:.1f} cores; its agent needs {agent:.0%} of another, each
  shard of Redis {redis:.1%}.
* **Misrouted calls**: {misrouted}, in all {events} changes of the fleet.
* **{far}** hears the first sound after {near_ms} ms by Global Relay, and {far_ms} ms by the
  internet (medians).
"""
_ASSUMED = """\
## What is assumed

Of all that is counted here, only the number of users was published. The rest are assumptions,
defaults of the product or facts of the protocols; change them in `tests/bench/scale/world.py`.
"""
_COSTS = """\
## What things cost

Medians of the project's own runs on a small virtual machine, [of relays](benchmarks.json)
with the XDP dataplane, and [of the mirror](mirror.json) (`python -m tests.bench mirror`). Between
two numbers of flows a packet's cost is between theirs.
"""
_DAY = """\
## A day

All regions, one of {sample} calls simulated. Clients come in by relays of their own region; calls
are in the nearest cluster, so that the relays of a cluster's region have the flows of other
regions, too. Each row is the region's busiest hour: its fullest relay from "flows" to "ports", and
all of it from "calls" on. "Agent" and "Redis" are shares of a core, the latter of each shard.

![Flows and cores of the fullest relay](scale/relays.svg)

![Requests to Redis, and its memory](scale/redis.svg)
"""
_EVENTS = """\
## When the fleet changes

{region}'s cluster in its busiest hour, every call. All clients of a relay that leaves, and those
whose share of the hash space another relay gets, come to that relay at once: at the next packet.
Whose record it has noted passes in the kernel; who is unknown passes a gate; and the agent takes
one client over after another. "Silent" is for how long what a moved client sends was not forwarded
(what it receives goes on where its old relay lives); "late" are calls for which that was over
{late:.0f} s. Thresholds move half because the relay that comes or goes is the last one. Resilient
groups move by force: their buckets have calls and are never idle, so that otherwise a new relay
gets nothing.

"Cut" are calls that ended, "refused" those of the next minute (with whoever calls again) that found
no place or port, "misrouted" those that got a port to which somebody still sent for another call;
"claims" are what is asked of Redis while clients are taken over. Freed ports rest for {rest:.0f} s;
if they did not, "{unrested}" would misroute {misrouted:,} calls.
"""
_LOST = """\
## A region is lost

Every call of the world, when the largest cluster is busiest. Who is cut off calls again at once,
and gets the nearest cluster that is there, by his own region's relays if they are. "Set-ups" are
those a second of the busiest relay meanwhile, and "wait" what one new call of a hundred waits for
an agent.
"""
_SPARE = """\
Without {region} {refused:,} calls find no place. Remedy: more transceivers elsewhere. To have all
calls, the other clusters would need {spare:.0%} more places than their own busiest hours take.
"""
_SWEEP = """\
## How many relays

The same calls on more relays, one of which dies (resilient hashing, noticed after the time
assumed): each of the others gets fewer clients to take over. Where they are many, the agent is the
limit, and a mirror saves little; where they are few, it saves the wait for a client's next check.

![Silence by number of relays](scale/silence.svg)
"""
_STAGED = """\
A planned change need not move all at once. From {relays} to {more} relays in {steps:,} steps, one
bucket of hashes every {pause}, with {clients} clients each, it takes {seconds}, and of those moved
one in a hundred is silent for {p99}, the longest for {worst}.
"""
_LIMITS = """\
## What gives way first

Of {region}'s cluster at its busiest, the least room first. "Times" is how many times this load it
would take; below one it has given way.
"""
_START = """\
A relay that starts restores {flows} flows of its own in {own} and notes {others} of its neighbours
in {theirs}, while it serves.
"""
_LATENCY = """\
## Set-up by region

From the offer to the first sound. The benchmark of calls has {trips:.1f} round trips and {base:.0f}
ms without any distance; here they go over distances between cities. Without Global Relay a client's
packets cross the internet to the cluster; with it they reach a relay of their region, and go on
between own sites. Both are the same where the cluster is near. The second table has the largest
cluster lost, relays and all.

![First sound by region](scale/latency.svg)
"""
_LEFT = """\
## What is left out

* Packets are not simulated one by one, but for those that take a client over. Loss and queues of
  the network are in round trips only.
* The agent's time for a client that is taken over is taken to be that of a new session, which is
  measured and more work.
* Redis's own fail-over, pub/sub between nodes of its Cluster, and what happens on a relay whose
  agent is dead: tests with real parts have those.
* Calls begin independently of each other. What makes all people call at once does not.
* The cost of back ends, which is many times that of all else.
"""


def page(figures: Figures) -> str:
    """The page."""
    cluster = figures.cluster
    parts = [
        _HEAD.format(command=figures.command, seed=figures.seed),
        _FIRST.format(**_first(figures)),
        _ASSUMED,
        _table(("what", "how much", "from"), figures.assumptions),
        _COSTS,
        _table(("what", "cost"), _costs(figures)),
        _DAY.format(sample=figures.sample),
        _table(_DAY_HEAD, map(_load, _peaks(figures.day)), numbers=1),
        _EVENTS.format(
            region=cluster.region,
            late=LATE,
            rest=QUARANTINE,
            unrested=f"{figures.unrested.what}, {figures.unrested.spread}",
            misrouted=figures.unrested.misrouted,
        ),
        _table(_EVENT_HEAD, map(_event, figures.events), numbers=3),
        f"Calls of all simulations on this page: {_balance(figures)}.\n",
        _LOST,
        _table(_LOSS_HEAD, map(_loss, figures.losses), numbers=1),
        *map(_spare, (each for each in figures.losses if each.refused)),
        _SWEEP,
        _table(_SWEEP_HEAD, _sweep(figures), numbers=0),
        _staged(figures.staged),
        _LIMITS.format(region=cluster.region),
        _table(_LIMIT_HEAD, map(_limit, figures.limits), numbers=1, last=1),
        _start(figures),
        _LATENCY.format(trips=figures.costs["round_trips"], base=figures.costs["first_audio_ms"]),
        _table(_LATENCY_HEAD, _both_ways(figures.latency), numbers=2),
        _table(_LATENCY_HEAD, _both_ways(figures.detour), numbers=2),
        _LEFT,
    ]
    return "\n".join(parts)


_DAY_HEAD = (
    *("region", "hour, UTC", "relays", "flows", "cores", "agent", "MB", "ports"),
    *("calls", "set-ups/s", "Redis, requests/s", "Redis", "Redis, MB"),
)
_EVENT_HEAD = (
    *("change", "hashing", "mirror", "calls", "moved", "silent, p50", "p99", "longest"),
    *("late", "cut", "refused", "misrouted", "claims/s"),
)
_LOSS_HEAD = (
    *(
        "region",
        "calls",
        "cut",
        f"began within {world.REDIAL:.0f} s",
        "refused",
        "set-ups/s",
        "wait",
    ),
    "places taken elsewhere",
)
_SWEEP_HEAD = (
    *("relays", "flows of each", "silent, p50", "p99", "longest"),
    "without a mirror, p99",
)
_LIMIT_HEAD = ("what", "there is", "there may be", "times", "remedy")
_LATENCY_HEAD = (
    *("region", "cluster", "round trip", "first sound, p50", "p95", "p99"),
    *("by Global Relay: round trip", "p50", "p95", "p99"),
)


def _table(
    head: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: int | None = None, last: int = 0
) -> str:
    """A table, whose columns from a number on, but for some last ones, are numbers."""
    first = len(head) if numbers is None else numbers
    marks = ["---" if not first <= n < len(head) - last else "---:" for n in range(len(head))]
    lines = [head, marks, *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _first(figures: Figures) -> dict[str, object]:
    cluster, limit = figures.cluster, figures.limits[0]
    far = max(
        (each for each in figures.latency if each.through == DIRECT), key=lambda each: each.p50
    )
    near = next(
        each for each in figures.latency if each.region == far.region and each.through == GLOBAL
    )
    enough = next((each for each in figures.sweep if each.p99 <= AIM), None)
    few = figures.sweep[0]
    sweep = f"**With {few.relays} relays** a dead one silences calls for {_seconds(few.p99)} (p99)"
    if enough is not None:
        sweep += (
            f"; with **{enough.relays}**, of {enough.flows:,} flows each, for "
            f"{_seconds(enough.p99)}: the aim is {_seconds(AIM)}"
        )
    return {
        "what": limit.what,
        "used": _amount(limit.used),
        "room": _amount(limit.room),
        "times": (
            f"{1 / limit.times:.1f} times too many"
            if limit.times < 1
            else f"it would take {limit.times:.1f} times as many"
        ),
        "remedy": limit.remedy,
        "sweep": f"{sweep}.",
        "region": cluster.region,
        "calls": f"{cluster.calls:,}",
        "relays": cluster.relays,
        "flows": f"{cluster.flows:,}",
        "cores": cluster.cores,
        "agent": cluster.agent,
        "redis": cluster.redis,
        "misrouted": sum(each.misrouted for each in figures.events),
        "events": len(figures.events),
        "far": far.region,
        "far_ms": f"{far.p50:,.0f}",
        "near_ms": f"{near.p50:.0f}",
    }


def _costs(figures: Figures) -> Iterable[Sequence[str]]:
    costs = figures.costs
    for flows, kpps in costs["rates"].items():
        yield f"a packet, {int(flows):,} flows", f"{1e6 / kpps:,.0f} ns of a core"
    yield "a new session, at the agent", f"{1e6 / costs['setups']:,.0f} µs"
    yield "a flow's memory at its relay", f"{costs['flow_bytes']:,.0f} bytes"
    for name, request in costs["requests"].items():
        yield (
            f"mirror: {name}",
            f"{request['relay']:.0f} µs at the relay, {request['redis']:.1f} µs at Redis",
        )
    yield "telling one more relay of a claim", f"{costs['listener_us']:.2f} µs at Redis"
    yield "a flow's memory in Redis", f"{costs['record_bytes']:,.0f} bytes"
    yield "a relay on the way", f"{costs['hop_us']:.1f} µs"


def _peaks(loads: Sequence[Load]) -> list[Load]:
    """Each region's busiest hour."""
    return [
        max((each for each in loads if each.region == region), key=lambda each: each.flows)
        for region in dict.fromkeys(each.region for each in loads)
    ]


def _load(load: Load) -> Sequence[str]:
    return (
        *(load.region, f"{load.hour:.0f}", str(load.relays), f"{load.flows:,}"),
        *(f"{load.cores:.2f}", f"{load.agent:.1%}", f"{load.memory:.0f}", f"{load.ports:.0%}"),
        *(f"{load.calls:,}", f"{load.setups:,.0f}", f"{load.requests:,.0f}", f"{load.redis:.2%}"),
        f"{load.megabytes:.1f}",
    )


def _event(event: Event) -> Sequence[str]:
    silent = (event.p50, event.p99, event.worst) if event.moved else ()
    return (
        *(event.what, event.spread, "on" if event.mirror else "off", f"{event.calls:,}"),
        f"{event.moved:,} ({event.moved / event.calls:.0%})",
        *(map(_seconds, silent) if silent else ("", "", "")),
        *(f"{each:,}" for each in (event.late, event.cut, event.refused, event.misrouted)),
        f"{event.moved / event.worst:,.0f}" if event.mirror and event.moved else "",
    )


def _balance(figures: Figures) -> str:
    told = figures.balance
    return (
        f"{told['arrived']:,} arrived, of which {told['ended']:,} ended, {told.get('cut', 0):,} "
        f"were cut off, {told.get('refused', 0):,} refused, and {told['active']:,} go on"
    )


def _loss(loss: Loss) -> Sequence[str]:
    return (
        *(loss.region, f"{loss.calls:,}", f"{loss.cut:,}", f"{loss.again:,}", f"{loss.refused:,}"),
        *(f"{loss.setups:,.0f}", _seconds(loss.wait), f"{loss.places:.0%}"),
    )


def _spare(loss: Loss) -> str:
    return _SPARE.format(region=loss.region, refused=loss.refused, spare=loss.spare)


def _sweep(figures: Figures) -> Iterable[Sequence[str]]:
    for each in figures.sweep:
        silent = map(_seconds, (each.p50, each.p99, each.worst, each.unmirrored))
        yield str(each.relays), f"{each.flows:,}", *silent


def _staged(staged: Staged) -> str:
    return _STAGED.format(
        relays=staged.relays,
        more=staged.relays + 1,
        steps=staged.steps,
        clients=staged.clients,
        pause=_seconds(staged.pause),
        seconds=_seconds(staged.steps * staged.pause),
        p99=_seconds(staged.p99),
        worst=_seconds(staged.worst),
    )


def _start(figures: Figures) -> str:
    requests, flows = figures.costs["requests"], figures.cluster.flows
    others = flows * (figures.cluster.relays - 1)
    return _START.format(
        flows=f"{flows:,}",
        own=_seconds(flows * requests["restore"]["relay"] / 1e6),
        others=f"{others:,}",
        theirs=_seconds(others * requests["read"]["relay"] / 1e6),
    )


def _limit(limit: Limit) -> Sequence[str]:
    amounts = (_amount(limit.used), _amount(limit.room), f"{limit.times:,.2f}")
    return limit.what, *amounts, limit.remedy


def _both_ways(rows: Sequence[Row]) -> Iterable[Sequence[str]]:
    for direct in rows:
        if direct.through == DIRECT:
            near = next(
                each for each in rows if each.region == direct.region and each.through == GLOBAL
            )
            yield direct.region, direct.cluster, *_times(direct), *_times(near)


def _times(row: Row) -> Sequence[str]:
    return tuple(f"{each:,.0f} ms" for each in (row.round_trip, row.p50, row.p95, row.p99))


def _seconds(seconds: float) -> str:
    return f"{seconds * 1000:,.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _amount(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
