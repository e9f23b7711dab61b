"""What a report says of turns, in Markdown. Pure."""

from collections.abc import Iterator, Sequence

from tests.bench.setup.measure import STEPS
from tests.bench.turn.figures import Figures
from tests.lab.config import NO_RELAY

_TURNS = """\
## Turns of a conversation

Client, relay and transceiver in network namespaces of their own, on {processor} with {kernel},
measured by `{command}` (as root: `make bench-turn`). {load:.1f} other processes wanted to run there
as it began (load average): from 1 on, their turns are part of the figures. Milliseconds; the aim is
for p95.

* *Heard*: from when the packet in which a spoken question begins is at the relay to the back end's
  `input_audio_buffer.append` with that sound, in calls that begin at different times of the
  transceiver's clock. The question is spoken by the agent's own voice, in Opus.
* *Said*: from the back end's first sound to the first packet of it at the client.
* *Interrupted*: from the back end's `speech_started` to the last packet with sound at the client,
  and to when the client, libwebrtc, plays nothing of it any more. *Truncated* is how far the
  milliseconds heard that the back end is told are from what the client had played at that moment,
  as the pitch of what it played tells.
* *Answered*: from when the packet left in which a question ends, by the offline agent, whose turn
  ends after 500 ms of silence.
"""
_BEGAN = """\
## Set-up with and without a relay

From the POST of the offer to each step, in milliseconds: medians of {count} calls, over veth
without a delay. Without a relay the client sends media to the transceiver itself.
"""
_HEAD = ("what", "dataplane", "n", "p50", "p95", "most", "aim")


def sections(figures: Figures) -> str:
    """All of them."""
    machine = figures.machine
    turns = _TURNS.format(
        command=figures.command,
        processor=f"{machine.get('cores', '?')} cores of {machine.get('processor', 'unknown')}",
        kernel=f"Linux {machine.get('kernel', '?')}",
        load=figures.load,
    )
    told = f"{turns}\n{_table(_HEAD, _turns(figures))}"
    if not figures.began:
        return told
    began = _BEGAN.format(count=figures.began[0]["calls"])
    return f"{told}\n{began}\n{_table(('client', 'relay', *STEPS), _began(figures))}"


def page(figures: Figures) -> str:
    """A page of its own."""
    return f"# Turn taking, measured\n\n{sections(figures)}"


def _table(head: Sequence[str], rows: Iterator[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "| --- | --- |" + " ---: |" * (len(head) - 2)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _turns(figures: Figures) -> Iterator[Sequence[str]]:
    order = list(dict.fromkeys(each.what for each in figures.turns))
    for each in sorted(figures.turns, key=lambda figure: order.index(figure.what)):
        yield (
            *(each.what, each.dataplane, str(each.count)),
            *(f"{value:.1f}" for value in (each.p50, each.p95, each.most)),
            "" if each.aim is None else f"{each.aim:.0f}",
        )


def _began(figures: Figures) -> Iterator[Sequence[str]]:
    for row in figures.began:
        relay = "without" if row["dataplane"] == NO_RELAY else row["dataplane"]
        steps = (row["steps"].get(step) for step in STEPS)
        yield (
            *(row["client"], relay),
            *("-" if step is None else f"{step['median_ms']:.1f}" for step in steps),
        )
