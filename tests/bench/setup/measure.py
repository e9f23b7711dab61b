"""Calls over a line with a delay, and when each step of their set-up was reached."""

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.errors import BenchError
from tests.lab.clients import NEGOTIATED, stimulus
from tests.lab.clients.client import Client
from tests.lab.clients.kinds import AIORTC, CHROMIUM, LIBWEBRTC, Kind, variant
from tests.lab.clients.stimulus import Stimulus
from tests.lab.clients.wire import Wire
from tests.lab.config import NO_RELAY, Options
from tests.lab.errors import LabError
from tests.lab.lab import Lab
from tests.lab.line.control import Line
from tests.lab.topology import CLIENT, PUBLIC, SIGNALING

START_SECONDS = 60.0  # limits
STEP_SECONDS = 20.0
_POLL_SECONDS = 0.02

#: What is reached in this order: the answer of the POST, the first answer to a check, the end of
#: DTLS at the client, the first packet of sound at the client, and the first event on the channel.
POST, CHECK, DTLS, SOUND, CREATED = STEPS = (
    "POST",
    "check",
    "DTLS",
    "first sound",
    "session.created",
)

_SNAP, _SPED = "WebRTC-Sctp-Snap/Enabled/", "WebRTC-IceHandshakeDtls/Enabled/"
#: What clients are told to try; all but the stock ones make their channel with ``?dcid=``.
_STOCK = "stock"
_VARIANTS = {_STOCK: "", "dcid": "", "SNAP": _SNAP, "SPED": _SPED, "both": _SNAP + _SPED}
_STREAM = {NEGOTIATED: "4"}

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured of one kind of client in one variant.

    Attributes:
        client: The kind.
        variant: What it does to be faster: nothing (stock); a channel that both sides make
            (dcid); that and SNAP, SPED or both.
        times: For each step, when it was reached in each call, in ms from the POST of the offer.
    """

    client: str
    variant: str
    times: Mapping[str, list[float]] = field(default_factory=lambda: {step: [] for step in STEPS})

    def median(self, step: str) -> float | None:
        """The median of a step; None when it was not measured."""
        return median(self.times[step]) if self.times[step] else None

    def dump(self, round_trip: float) -> dict[str, Any]:
        """The row as plain data; `round_trip` in ms."""
        steps = {}
        for step in STEPS:
            middle = self.median(step)
            if middle is None:
                continue
            steps[step] = {
                "median_ms": round(middle, 1),
                "least_ms": round(min(self.times[step]), 1),
                "most_ms": round(max(self.times[step]), 1),
                "round_trips": round(middle / round_trip, 2) if round_trip else None,
            }
        return {"client": self.client, "variant": self.variant, "steps": steps}


@dataclass(frozen=True, slots=True)
class _Caller:
    """A kind of client in a variant, and what its environment has for that."""

    kind: Kind
    variant: str
    environment: Mapping[str, str] = field(default_factory=dict)


def measure(
    clients: Sequence[str] | None,
    variants: Sequence[str] | None,
    *,
    dataplane: str,
    round_trip: float,
    rounds: int,
    progress: Progress,
) -> Iterator[Row]:
    """Measure set-ups.

    Args:
        clients: The kinds of clients; None for all that can be measured.
        variants: Only these; None for all that a client has.
        dataplane: The relay's; none for a lab without a relay.
        round_trip: What it takes, in seconds.
        rounds: How many calls.
        progress: Told each step.

    Raises:
        BenchError: There is no such client or variant, or a call failed.
    """
    callers = list(_callers(clients, variants))
    if not callers:
        raise BenchError("no client has such a variant: use stock, dcid, SNAP, SPED or both")
    with tempfile.TemporaryDirectory() as directory, _lab(dataplane) as lab:
        tones = stimulus.write(Path(directory))
        Line(lab).delay(round_trip)
        for caller in callers:
            progress(f"{caller.kind.name}, {caller.variant}")
            row = Row(caller.kind.name, caller.variant)
            for _ in range(rounds):
                try:
                    reached = _call(lab, caller, tones)
                except LabError as error:
                    raise BenchError(f"{caller.kind.name}, {caller.variant}: {error}") from None
                for step, at in reached.items():
                    row.times[step].append(at)
            yield row


def _callers(clients: Sequence[str] | None, variants: Sequence[str] | None) -> Iterator[_Caller]:
    kinds = {kind.name: kind for kind in (CHROMIUM, AIORTC, LIBWEBRTC)}
    for name in clients or kinds:
        kind = kinds.get(name)
        if kind is None:
            raise BenchError(f"there is no client {name!r}: use {', '.join(kinds)}")
        if (missing := kind.missing()) is not None:
            raise BenchError(f"{name} {missing}")
        for each, trials in _VARIANTS.items():
            if (variants is None or each in variants) and (not trials or kind is not AIORTC):
                yield _in_variant(kind, each, trials)


def _in_variant(kind: Kind, name: str, trials: str) -> _Caller:
    environment = {} if name == _STOCK else dict(_STREAM)
    if kind is LIBWEBRTC:
        tried = {"WRTC_FIELD_TRIALS": trials} if trials else {}
        return _Caller(kind, name, environment | tried)
    flags = []
    if _SNAP in trials:
        flags.append("--enable-blink-features=WebRtcSctpSnap")
    if _SPED in trials:
        flags.append(f"--force-fieldtrials={_SPED}")
    return _Caller(variant(kind, flags) if flags else kind, name, environment)


@contextmanager
def _lab(dataplane: str) -> Iterator[Lab]:
    lab = Lab(f"setup-{os.getpid()}")
    try:
        lab.up(Options(dataplane=dataplane, line=True))
        yield lab
    finally:
        lab.down()


def _call(lab: Lab, caller: _Caller, tones: Stimulus) -> dict[str, float]:
    """Place a call; returns when each step was reached, in ms from the POST of the offer."""
    options = lab.options
    link = SIGNALING if options.dataplane == NO_RELAY else PUBLIC
    with (
        Wire(lab.hosts[CLIENT], link, options.public) as wire,
        Client(lab, caller.kind, tones, dict(caller.environment)) as client,
    ):
        posted = client.wait(lambda event: event["event"] == "posted", START_SECONDS, told="offer")
        created = client.wait(
            lambda event: event["event"] == "message" and "session.created" in event["text"],
            STEP_SECONDS,
            told="session.created",
        )
        dtls = client.wait(
            lambda event: event["event"] == "connected" and event["step"] == "dtls",
            STEP_SECONDS,
            told="DTLS",
        )
        answer = client.wait(lambda event: event["event"] == "answer", STEP_SECONDS)
        arrivals, checked = _on_the_wire(wire, client)
        client.hang_up()
    reached = (answer["at"], checked * 1000, dtls["at"], arrivals[0] * 1000, created["at"])
    return {step: at - posted["at"] for step, at in zip(STEPS, reached, strict=True)}


def _on_the_wire(wire: Wire, client: Client) -> tuple[list[float], float]:
    """When sound came, and when the first check was answered."""
    deadline = time.monotonic() + STEP_SECONDS
    while True:
        arrivals = wire.arrivals(client.server_ufrags)
        checked = wire.first_answer(server=client.server_ufrags, client=client.client_ufrags)
        if arrivals and checked is not None:
            return arrivals, checked
        if time.monotonic() > deadline:
            raise LabError("no sound came")
        time.sleep(_POLL_SECONDS)
