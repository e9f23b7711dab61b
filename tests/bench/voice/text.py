"""The sections of a report on calls, in Markdown. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tests.bench.loss.measure import OURS
from tests.bench.setup.measure import STEPS
from tests.bench.voice.aims import aims
from tests.bench.voice.figures import Figures

_AIMS = """\
## What calls are to get

What the transceiver aims at, and whether the figures below are that.
"""
_CARRIED = """\
## Calls on one core

Echo calls of a transceiver that has one core to itself: each packet is decrypted, decoded, played
by the clock, encoded and encrypted again. The clients are real on the wire and have the other core.
To measure this and what follows on your own machine, as root, run `make bench-voice`. The figures
are from `{command}`,
on {processor} with {kernel}.

*Late* is the time from when a turn of 20 ms was due to when its packets were sent; *lost* are the
clients' packets that did not come, which they report, so that their calls get redundancy (FEC).
Memory is the process's growth for each call.
"""
_HEARD = """\
## Speech over bad networks

A sentence, again and again, over networks that lose packets (one by one, or in runs) and delay them
by a mean jitter, through this transceiver's playout and through libwebrtc's (NetEQ), the same
packets each. *Made up* is the share of samples that came from neither a packet nor its redundancy;
*silence* the longest in which nothing was heard although something was said; *delay* is beyond
the network's least; *back* the seconds after an episode of jitter until the delay was that of
before; PLCMOS what listeners would say, from 1 to 5; µs the processor time of 20 ms.
"""
_BEGAN = """\
## Set-up on a slow link

From the POST of the offer, on a link whose round trip takes {round_trip:.0f} ms: medians in ms,
and in round trips. Signaling is connected already. *Stock* is the client as it is, whose channel of
events a message opens; all others make it with `?dcid=`. SNAP takes the first messages of the
association into offer and answer, SPED carries DTLS in the checks. *First sound* is the first RTP
packet: a stream begins when DTLS ends. What the client itself says comes back a round trip later.
aiortc takes one more than browsers: it nominates a path by a second check before it begins DTLS.
"""


def sections(figures: Figures) -> str:
    """All of them."""
    machine = figures.machine
    carried = _CARRIED.format(
        command=figures.command,
        processor=f"{machine.get('cores', '?')} cores of {machine.get('processor', 'unknown')}",
        kernel=f"Linux {machine.get('kernel', '?')}",
    )
    parts = [
        f"{_AIMS}\n{_table(_AIMS_HEAD, _aims(figures))}",
        f"{carried}\n{_table(_CARRIED_HEAD, _carried(figures))}",
        f"{_HEARD}\n{_table(_HEARD_HEAD, _heard(figures))}",
        _BEGAN.format(round_trip=figures.round_trip_ms)
        + "\n"
        + _table(("client", *STEPS), _began(figures.began)),
    ]
    return "\n".join(parts)


_AIMS_HEAD = ("what", "aim", "measured", "")
_CARRIED_HEAD = (
    *("calls", "lost", "of the core", "µs a frame", "late, p99", "latest", "turns skipped"),
    *("KiB a call", "echoed"),
)
_HEARD_HEAD = ("network", "playout", "made up", "silence", "delay", "back", "PLCMOS", "µs")


def _table(head: Sequence[str], rows: Iterator[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _aims(figures: Figures) -> Iterator[Sequence[str]]:
    for each in aims(figures):
        bound = f"{each.bound:,.{each.digits}f}"
        yield (
            each.figure,
            f"at least {bound}" if each.at_least else f"at most {bound}",
            f"{each.value:,.{each.digits}f}",
            "met" if each.met else "**missed**",
        )


def _carried(figures: Figures) -> Iterator[Sequence[str]]:
    for each in figures.carried:
        yield (
            str(each.calls),
            f"{each.loss:.0%}",
            f"{each.cpu:.0%}",
            f"{each.frame:.0f}",
            f"{each.late_p99:.1f} ms",
            f"{each.late_most:.1f} ms",
            str(each.skipped),
            f"{each.memory:.0f}",
            f"{each.echoed:.1%}",
        )


def _heard(figures: Figures) -> Iterator[Sequence[str]]:
    order = list(dict.fromkeys(each.network for each in figures.heard))
    for each in sorted(
        figures.heard, key=lambda result: (order.index(result.network), result.playout != OURS)
    ):
        yield (
            each.network,
            each.playout,
            f"{100 * each.concealed:.1f} %",
            f"{1_000 * each.silence:.0f} ms",
            f"{1_000 * each.delay:.0f} ms",
            "" if each.back is None else f"{each.back:.1f} s",
            "" if each.score is None else f"{each.score:.2f}",
            "" if each.microseconds is None else f"{each.microseconds:.0f}",
        )


def _began(rows: Sequence[Mapping[str, Any]]) -> Iterator[Sequence[str]]:
    for row in rows:
        yield (f"{row['client']}, {row['variant']}", *(_step(row["steps"].get(s)) for s in STEPS))


def _step(step: Mapping[str, Any] | None) -> str:
    if step is None:
        return "-"
    trips = f" ({step['round_trips']:.1f})" if step["round_trips"] else ""
    return f"{step['median_ms']:.0f}{trips}"
