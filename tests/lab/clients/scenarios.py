"""The scenarios, one after another, with all clients at once or with one alone."""

import http.client
import json
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

from relay.core.limits import Limits
from tests.lab.clients.kinds import Kind
from tests.lab.clients.outcome import Outcome, Scenario
from tests.lab.clients.stage import (
    AUDIBLE,
    CONNECT_SECONDS,
    POLL_SECONDS,
    START_SECONDS,
    Measured,
    Member,
    Stage,
    energy,
    second_address,
    until,
)
from tests.lab.clients.stimulus import Stimulus
from tests.lab.config import CONTROL, RELAY_SERVICE, TRANSCEIVER_SERVICE, Options
from tests.lab.errors import LabError
from tests.lab.lab import Lab
from tests.lab.topology import TRANSCEIVER

LOSS = 0.05
LOSS_SECONDS = 3.0
_LEAST_HEARD = 0.5  # of what it says: 0.9 at this loss there and back, less on a busy machine
_PACKET_SECONDS = 0.02
_SEED = 20260504
_ANSWER_SECONDS = 15.0  # SCTP doubles the time between its tries while nothing gets through
# What was lost while the agent was killed has doubled that time, until there is an answer to what
# was sent once (RFC 9260, section 6.3.1), and now more is lost: RTO.Max of its section 16.
_LONGEST_RTO = 60.0
_RECOVER_SECONDS = 10.0  # clients check every 2.5 to 6 s, and that is what heals a path
# A check that a client sent before it was closed, but after its call had ended, makes a pending
# flow, and that lives as long as one does after its last request.
_FREE_SECONDS = Limits().pending_life + 5.0
_QUESTION = '{"type": "session.update", "event_id": "evt_test", "session": {"type": "realtime"}}'

Progress = Callable[[str], None]


def options(dataplane: str) -> Options:
    """The lab that the scenarios need."""
    return Options(dataplane=dataplane, line=True, redis=True)


def run(
    lab: Lab, kinds: Sequence[Kind], tones: Stimulus, progress: Progress = lambda _: None
) -> list[Outcome]:
    """Put clients through all scenarios.

    Args:
        lab: A lab that is up, with `options`.
        kinds: The clients, that are there at the same time.
        tones: What they say.
        progress: Told each step.
    """
    free = _descriptors(lab)
    with second_address(lab), Stage(lab, kinds, tones) as stage:
        progress("two addresses")
        stage.each(Scenario.TWO_ADDRESSES, partial(_two_addresses, stage))
        for member in stage.members:
            _hang_up_quietly(member)
    with Stage(lab, kinds, tones, outcomes=stage.outcomes) as stage:
        for name, step in _STEPS.items():
            progress(name)
            step(stage)
        progress("hang-up")
        _hang_up(stage, free)
    return stage.outcomes


def _two_addresses(stage: Stage, member: Member) -> Measured:
    _hear(stage, member)

    ufrags = member.client.server_ufrags
    until(
        lambda: stage.wire.asking(ufrags) == stage.wire.answered(ufrags),
        time.time() + CONNECT_SECONDS,
        "answer to the checks of one address",
    )
    since = time.time()
    stage.wait_for_sound(member, since, CONNECT_SECONDS)
    hosts = {each.host for each in stage.wire.answered(ufrags)}
    note = "checks both" if len(hosts) == 2 else "uses the first that works"
    return Measured(note=note, gap_ms=stage.gap_ms(member, since))


def _call(stage: Stage) -> None:
    stage.each(Scenario.CALL, lambda member: Measured(setup_ms=_hear(stage, member)))


def _hear(stage: Stage, member: Member) -> float:
    """Wait until a client hears the tones; returns the ms from its offer to the first packet."""
    client = member.client
    offer = client.wait(lambda event: event["event"] == "offer", START_SECONDS, told="offer")
    answer = client.wait(lambda event: event["event"] == "answer", CONNECT_SECONDS, told="answer")
    stage.wait_for_sound(member, answer["at"] / 1000, CONNECT_SECONDS)
    heard = 0.0
    deadline = time.time() + CONNECT_SECONDS
    while heard < AUDIBLE:
        if time.time() > deadline:
            raise LabError(f"only silence within {CONNECT_SECONDS:.0f} s")
        heard += energy(client.stats())
    return round(stage.arrivals(member)[0] * 1000 - float(offer["at"]), 1)


def _channel(stage: Stage) -> None:
    def check(member: Member) -> Measured:
        client = member.client
        _wait_for_message(member, "oai-events", "session.created", 0)
        since = len(client.events)
        client.command("send", channel="oai-events", text=_QUESTION)
        _wait_for_message(member, "oai-events", "session.updated", since)
        _echo(member, "hello")
        return Measured()

    stage.each(Scenario.CHANNEL, check)


def _wait_for_message(
    member: Member, channel: str, text: str, since: int, seconds: float = _ANSWER_SECONDS
) -> None:
    member.client.wait(
        lambda event: (
            event["event"] == "message" and event["channel"] == channel and text in event["text"]
        ),
        seconds,
        since=since,
        told=f"{text} on {channel}",
    )


def _echo(member: Member, text: str, seconds: float = _ANSWER_SECONDS) -> None:
    since = len(member.client.events)
    member.client.command("send", channel="echo", text=text)
    _wait_for_message(member, "echo", text, since, seconds)


def _restart(stage: Stage) -> None:
    since = time.time()
    for member in stage.members:
        if Scenario.RESTART not in member.client.kind.cannot and member.client.session:
            member.trouble = None
            with suppress(LabError):  # it has ended, which the check tells
                member.client.command("restart")

    def check(member: Member) -> Measured:
        client = member.client
        until(lambda: len(client.server_ufrags) > 1, since + _ANSWER_SECONDS, "new credentials")
        restarted = partial(stage.wire.first_answer, client=client.client_ufrags[1:])
        until(
            lambda: restarted(server=client.server_ufrags) is not None,
            since + _RECOVER_SECONDS,
            "answered check under the client's new name",
        )
        stage.wait_for_sound(member, time.time(), _RECOVER_SECONDS)
        gap = stage.gap_ms(member, since)
        _echo(member, "restarted")
        moved = restarted(server=client.server_ufrags[1:]) is not None
        return Measured("" if moved else "goes on with the server's old credentials", gap_ms=gap)

    stage.each(Scenario.RESTART, check)


def _rebinding(stage: Stage) -> None:
    since = time.time()
    stage.line.rebind()

    def check(member: Member) -> Measured:
        stage.wait_for_sound(member, since + 0.1, _RECOVER_SECONDS)
        gap = stage.gap_ms(member, since)
        _echo(member, "moved")
        return Measured(gap_ms=gap)

    stage.each(Scenario.REBINDING, check)


def _kill(stage: Stage) -> None:
    since = time.time()
    stage.lab.kill(RELAY_SERVICE)
    stage.lab.start(RELAY_SERVICE)
    started = time.time()

    def check(member: Member) -> Measured:
        stage.wait_for_sound(member, started, _RECOVER_SECONDS)
        gap = stage.gap_ms(member, since)
        _echo(member, "killed")
        return Measured(gap_ms=gap)

    stage.each(Scenario.KILL, check)


def _loss(stage: Stage) -> None:
    for member in stage.members:
        if member.trouble is None:
            member.client.stats()  # what is heard counts from here on
    since = time.time()
    stage.line.lose(LOSS, seed=_SEED)
    while time.time() < since + LOSS_SECONDS:
        time.sleep(0.1)
    end = time.time()

    def check(member: Member) -> Measured:
        _echo(member, "lossy", _LONGEST_RTO)
        came = sum(since < at <= end for at in stage.arrivals(member))
        sent = stage.wire.departures(member.client.server_ufrags)
        # A browser that was short of the processor says everything at once, and is heard in time.
        spoken = min(sum(since < at <= end for at in sent), (end - since) / _PACKET_SECONDS)
        if came < _LEAST_HEARD * spoken:
            raise LabError(f"only {came} packets of sound came back of {spoken:.0f}")
        if energy(member.client.stats()) < AUDIBLE:
            raise LabError("only silence")
        return Measured(gap_ms=stage.gap_ms(member, since))

    stage.each(Scenario.LOSS, check)
    stage.line.lose(0, seed=0)


_STEPS: dict[str, Callable[[Stage], None]] = {
    "call": _call,
    "data channel": _channel,
    "agent killed": _kill,
    "loss": _loss,
    "ICE restart": _restart,
    "address change": _rebinding,
}


def _hang_up_quietly(member: Member) -> None:
    try:
        member.client.hang_up()
    except LabError as error:
        member.trouble = member.trouble or str(error)


def _hang_up(stage: Stage, free: int) -> None:
    """Hang up; nothing of the calls is left in relay and transceiver."""
    for member in stage.members:
        _hang_up_quietly(member)
    deadline = time.time() + _FREE_SECONDS

    def check(member: Member) -> Measured:
        session = member.client.session
        until(lambda: session not in _sessions(stage.lab), deadline, "end of its session")
        if left := _flows_left(stage, member, deadline):
            raise LabError(f"flows are left: {left}")
        until(
            lambda: _descriptors(stage.lab) <= free,
            deadline,
            f"release of descriptors: {_descriptors(stage.lab)} are open, {free} were before",
        )
        return Measured()

    stage.each(Scenario.HANG_UP, check)


def _flows_left(stage: Stage, member: Member, deadline: float) -> dict[str, str]:
    """Wait until the relay has no flow of a client; those that it still has then."""
    while (left := stage.flows(member)) and time.time() < deadline:
        time.sleep(POLL_SECONDS)
    return left


def _sessions(lab: Lab) -> set[str]:
    """The ids of the transceiver's sessions."""
    connection = http.client.HTTPConnection(CONTROL.host, CONTROL.port, timeout=_ANSWER_SECONDS)
    with lab.hosts[TRANSCEIVER].inside():
        connection.connect()
    with closing(connection):
        connection.request("GET", "/v1/sessions")
        listed = json.loads(connection.getresponse().read())["sessions"]
    return {str(each["id"]) for each in listed}


def _descriptors(lab: Lab) -> int:
    """How many descriptors the transceiver has open, besides signaling's connections to it."""
    (pid,) = (
        each["pid"] for each in lab.status()["services"] if each["name"] == TRANSCEIVER_SERVICE
    )
    process = Path(f"/proc/{pid}")
    # The tenth field of a connection is the number of its socket (proc(5)).
    lines = (process / "net" / "tcp").read_text("ascii").splitlines()[1:]
    connections = {f"socket:[{line.split()[9]}]" for line in lines}
    opened = []
    for each in (process / "fd").iterdir():
        with suppress(FileNotFoundError):  # it was just closed
            opened.append(str(each.readlink()))
    return sum(each not in connections for each in opened)
