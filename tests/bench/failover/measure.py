"""What happens to relays, again and again, and what calls and generated flows bear of it."""

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tests.bench.failover.calls import Calls
from tests.bench.failover.flows import Flows
from tests.bench.failover.gaps import Gap, gaps
from tests.bench.failover.plan import CALLS, Form
from tests.bench.failover.recorder import Recorder
from tests.lab.fleet import priorities
from tests.lab.fleet.network import CLIENT, RELAYS, RelayHost
from tests.lab.fleet.site import Settings, Site

_CALM = 0.35  # seconds before something happens
_AFTER = 0.8  # after it, once all flows are heard again
# At most so long is waited for that. Without a mirror a flow waits for its client's next check, of
# which the slowest client makes one each 4 s.
LONGEST = 8.0
_UNDER_WAY = 0.15  # that packets may take to arrive, and to be read
_POLL = 0.05
_CALM_TIMES = 5  # that nothing happens, which does not become more likely to be seen

_Step = Callable[[Site, RelayHost], None]


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that can happen to a relay.

    Attributes:
        name: What it is called.
        begin: Makes it happen.
        end: Makes it good again.
        back: What that is called.
    """

    name: str
    begin: _Step
    end: _Step
    back: str


HAPPENINGS = (
    Happening("machine dies", Site.kill, Site.boot, "and boots"),
    Happening("all stands still", Site.freeze, Site.thaw, "and goes on"),
    Happening("packets vanish", Site.isolate, Site.reach, "and arrive"),
    Happening("drained", Site.drain, Site.undrain, "and wanted"),
)
NOTHING = "nothing"


@dataclass(slots=True)
class Measured:
    """What one thing has cost, however often it happened.

    Attributes:
        dataplane: The relays'.
        mirror: Whether they have one.
        traffic: Calls or flows.
        what: What has happened.
        times: How often.
        routed: Seconds until the router's kernel had the new routes, each time.
        gaps: Of the flows, each with the name of the relay that it happened to.
    """

    dataplane: str
    mirror: bool
    traffic: str
    what: str
    times: int = 0
    routed: list[float] = field(default_factory=list)
    gaps: list[tuple[str, Gap]] = field(default_factory=list)


class Traffic(Protocol):
    """What goes through the relays."""

    def begin(self) -> None:
        """Something is about to happen."""

    def silent(self, since: float) -> bool:
        """Whether some of it has not been heard since a moment of time.time(), at either end."""

    def gaps(self, since: float, until: float) -> Sequence[Gap]:
        """What it has borne since then, between two moments of time.time()."""


class RealCalls:
    """Real calls, recorded on their links."""

    def __init__(self, calls: Calls, recorder: Recorder) -> None:
        self._calls = calls
        self._recorder = recorder

    def begin(self) -> None:
        """Forget what was recorded until now."""
        self._recorder.take()
        time.sleep(_CALM)

    def silent(self, since: float) -> bool:
        """By the kernel's time of each packet."""
        self._calls.check()
        return self._recorder.silent(since)

    def gaps(self, since: float, until: float) -> Sequence[Gap]:
        """By the kernel's time of each packet."""
        self._calls.check()
        return gaps(self._recorder.take(), since, until)


class GeneratedFlows:
    """Generated flows."""

    def __init__(self, flows: Flows) -> None:
        self._flows = flows

    def begin(self) -> None:
        """Note where each is."""
        time.sleep(_CALM)
        self._flows.mark()

    def silent(self, since: float) -> bool:
        """By the time at which packets were read."""
        self._flows.check()
        return self._flows.silent(since)

    def gaps(self, since: float, until: float) -> Sequence[Gap]:
        """By the time at which each packet was sent."""
        self._flows.check()
        return self._flows.gaps(since, until)


def measure(
    form: Form, happenings: Sequence[Happening], progress: Callable[[str, int], None]
) -> Iterator[Measured]:
    """Let everything happen in one site.

    Args:
        form: What is measured in it.
        happenings: What happens.
        progress: Is told what happens next, and for which time.

    Raises:
        LabError: Something does not start, or a route does not come or go.
        NetnsError: A host cannot be created.
    """

    def row(what: str) -> Measured:
        return Measured(form.dataplane, form.mirror, form.traffic, what)

    with running(form) as (site, traffic):
        observer = _Observer(site, traffic)
        calm = row(NOTHING)
        for number in range(min(form.times, _CALM_TIMES)):
            observer.observe(calm, RELAYS[number % len(RELAYS)], None, RELAYS)
        yield calm
        for each in happenings:
            bad, good = row(each.name), row(each.back)
            for number in range(form.times):
                progress(each.name, number + 1)
                relay = RELAYS[number % len(RELAYS)]
                others = [other for other in RELAYS if other != relay]
                observer.observe(bad, relay, each.begin, others)
                observer.observe(good, relay, each.end, RELAYS)
            yield from (bad, good)


def judge(traffic: Traffic, since: float) -> Sequence[Gap]:
    """What traffic has borne since a moment of time.time(), once it is heard again.

    It is looked at for a while longer. What an agent has taken up comes late, and is not lost.
    """
    _wait_until_heard(traffic, since + LONGEST)
    time.sleep(_AFTER)
    until = time.time()
    time.sleep(_UNDER_WAY)
    return traffic.gaps(since, until)


def _wait_until_heard(traffic: Traffic, latest: float) -> None:
    """Wait for a packet of all, both ways, or for a moment of time.time()."""
    since = time.time()
    while traffic.silent(since) and time.time() < latest:
        time.sleep(_POLL)


@dataclass(frozen=True, slots=True)
class _Observer:
    """Lets things happen, and judges them from their beginning to a while after they have effect.

    Attributes:
        site: Where they happen.
        traffic: What bears them.
    """

    site: Site
    traffic: Traffic

    def observe(
        self, into: Measured, relay: RelayHost, step: _Step | None, announced: Sequence[RelayHost]
    ) -> None:
        """Let a relay bear something, after which these relays are announced."""
        self.traffic.begin()
        # What is not heard would not count among what bears it.
        _wait_until_heard(self.traffic, time.time() + LONGEST)
        since = time.time()
        if step is not None:
            step(self.site, relay)
            self.site.wait_for(*announced)
            into.routed.append(time.time() - since)
        into.times += 1
        into.gaps += [(relay.name, gap) for gap in judge(self.traffic, since)]


@contextmanager
def running(form: Form) -> Iterator[tuple[Site, RealCalls | GeneratedFlows]]:
    """A site with its traffic, while entered."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        # No other benchmark uses this name at the same time.
        settings = Settings(
            f"failover-{os.getpid()}", form.dataplane, form.mirror, form.ask, bfd=form.bfd
        )
        site = stack.enter_context(Site(settings, directory))
        stack.callback(priorities.be_as_others)
        priorities.come_first()
        if form.traffic == CALLS:
            calls = stack.enter_context(Calls(site.hosts[CLIENT], form.count))
            recorder = stack.enter_context(Recorder(site.hosts))
            yield site, RealCalls(calls, recorder)
        else:
            flows = stack.enter_context(Flows(site, form.count, form.rate))
            yield site, GeneratedFlows(flows)
