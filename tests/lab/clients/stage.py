"""A lab with clients in it, which go through scenarios together."""

import base64
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Self

from pyroute2.netlink.exceptions import NetlinkError

from relay.admin import transport as admin
from tests.lab.clients import stimulus
from tests.lab.clients.client import Client
from tests.lab.clients.kinds import Kind
from tests.lab.clients.outcome import Outcome, Scenario, Verdict
from tests.lab.clients.stimulus import Stimulus
from tests.lab.clients.wire import Wire, longest_silence
from tests.lab.errors import LabError
from tests.lab.lab import Lab
from tests.lab.line.control import Line
from tests.lab.topology import CLIENT, PUBLIC, RELAY, UPLINK

START_SECONDS = 60.0  # limits; a browser starts in 2, eight clients at once in 10
CONNECT_SECONDS = 20.0
POLL_SECONDS = 0.02
RECENT_SECONDS = 20.0
AUDIBLE = 1e-4  # mean square of samples times seconds; the tones have 0.03 in each second
SECOND_ADDRESS = "203.0.113.3"
_SECOND_INTERFACE, _OTHER_END = "second", "second-end"


@dataclass
class Member:
    """A client on the stage.

    Attributes:
        client: The client.
        trouble: Why its call is lost, so that what follows need not be tried. An ICE restart is
            tried all the same, because it can mend that.
    """

    client: Client
    trouble: str | None = None


@dataclass
class Measured:
    """What a scenario measured of one client; see `Outcome`."""

    note: str = ""
    setup_ms: float | None = None
    gap_ms: float | None = None


@dataclass
class Stage:
    """Clients in a lab, each in a call, while entered.

    Args:
        lab: A lab with a line.
        kinds: The clients.
        tones: What they say.

    Attributes:
        members: The clients.
        wire: What they send and get, where they are.
        beyond: The same behind the line, where they may have other addresses.
        outcomes: What came of the scenarios so far.
    """

    lab: Lab
    kinds: Sequence[Kind]
    tones: Stimulus
    members: list[Member] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)

    def __enter__(self) -> Self:
        """Start the clients, which call at once."""
        self.line = Line(self.lab)
        with ExitStack() as undo:
            self.wire = undo.enter_context(Wire(self.lab.hosts[CLIENT], PUBLIC))
            self.beyond = undo.enter_context(Wire(self.lab.hosts[RELAY], UPLINK))
            for kind in self.kinds:
                client = undo.enter_context(Client(self.lab, kind, self.tones))
                self.members.append(Member(client))
            self._open = undo.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        """End them all."""
        self._open.close()

    def each(self, scenario: Scenario, check: Callable[[Member], Measured]) -> None:
        """Note what came of a scenario for each client.

        Args:
            scenario: The scenario.
            check: Waits until a client has come through and measures it; raises LabError when it
                has not. What it waits for goes on for all clients meanwhile.
        """
        for member in self.members:
            self.outcomes.append(self._one(scenario, member, check))

    def _one(
        self, scenario: Scenario, member: Member, check: Callable[[Member], Measured]
    ) -> Outcome:
        kind, dataplane = member.client.kind, self.lab.options.dataplane
        if scenario in kind.cannot:
            return Outcome(kind.name, dataplane, scenario, Verdict.CANNOT, kind.cannot[scenario])
        if member.trouble is not None:
            return Outcome(kind.name, dataplane, scenario, Verdict.FAILED, member.trouble)
        try:
            found = check(member)
        except LabError as error:
            member.trouble = f"{scenario.value}: {error}"
            return Outcome(kind.name, dataplane, scenario, Verdict.FAILED, str(error))
        return Outcome(
            kind.name,
            dataplane,
            scenario,
            Verdict.PASSED,
            found.note,
            setup_ms=found.setup_ms,
            gap_ms=found.gap_ms,
        )

    def arrivals(self, member: Member) -> list[float]:
        """When packets of sound came to a client, since 1970."""
        return self.wire.arrivals(member.client.server_ufrags)

    def wait_for_sound(
        self, member: Member, since: float, seconds: float, packets: int = 25
    ) -> None:
        """Wait until so many packets of sound have come after a time.

        Raises:
            LabError: They have not, within `seconds` from that time.
        """

        def enough() -> bool:
            return sum(at > since for at in self.arrivals(member)) >= packets

        until(enough, since + seconds, f"{packets} packets of sound within {seconds:.0f} s")

    def gap_ms(self, member: Member, since: float) -> float:
        """The longest time without sound since then."""
        return round(longest_silence(self.arrivals(member), since, time.time()) * 1000, 1)

    def flows(self, member: Member) -> dict[str, str]:
        """The states of the relay's flows of a client, by its addresses of the last 20 s.

        Those that it has left before that idle out: the transceiver forgets them after 30 s.
        """
        recent = time.time() - RECENT_SECONDS
        mine = {str(each) for each in self.beyond.asking(member.client.server_ufrags, recent)}
        status = admin.ask(self.lab.admin, "status")
        return {flow["client"]: flow["state"] for flow in status["flows"] if flow["client"] in mine}


def until(done: Callable[[], bool], deadline: float, what: str) -> None:
    """Wait for a condition.

    Args:
        done: The condition.
        deadline: Seconds since 1970.
        what: It in words.

    Raises:
        LabError: It does not come in time.
    """
    while not done():
        if time.time() > deadline:
            raise LabError(f"no {what}")
        time.sleep(POLL_SECONDS)


def energy(stats: dict[str, Any]) -> float:
    """The energy of what a client has heard, of its statistics."""
    if "energy" in stats:
        return float(stats["energy"])
    return stimulus.energy(map(base64.b64decode, stats["payloads"]))


@contextmanager
def second_address(lab: Lab) -> Iterator[None]:
    """Give the client's host an interface with another address, at which the relay can reach it."""
    with lab.hosts[CLIENT].netlink() as netlink:
        # Not every kernel has interfaces of the kind that has no other end.
        netlink.link("add", ifname=_SECOND_INTERFACE, kind="veth", peer={"ifname": _OTHER_END})
        for name in (_OTHER_END, _SECOND_INTERFACE):
            index = netlink.link_lookup(ifname=name)[0]
            netlink.link("set", index=index, state="up")
        netlink.addr("add", index=index, address=SECOND_ADDRESS, prefixlen=32)
    try:
        yield
    finally:
        with lab.hosts[CLIENT].netlink() as netlink, suppress(NetlinkError):
            netlink.link("del", index=index)
