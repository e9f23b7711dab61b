"""The soak: calls go on while the plan's faults come and go; at the end all is counted."""

import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from relay.core.flow import State
from relay.dataplane.interface import DataplaneChoice
from relay.wire.endpoint import Endpoint
from tests.lab.config import REDIS, redis_service
from tests.lab.errors import LabError
from tests.lab.relay_testbed import RelayTestbed
from tests.lab.topology import HAS_IPV6
from tests.soak.account import Account, Fault, Outage, settle
from tests.soak.calls import Calls
from tests.soak.drops import drops
from tests.soak.faults import Faults
from tests.soak.plan import ENDS_PROCESS, FAULTS, UNLOADS, Step, steps
from tests.soak.resources import Resources

_SETTLE_SECONDS = 2.0  # with nothing wrong, before resources are counted
_PENDING_SECONDS = 60.0  # at most, until a pending flow that nobody confirms is gone
# For this share of the time processes are ended, too; in the rest they grow old.
_SHARE_WITH_ENDS = 0.6
_EVENT_FILES = 16  # by which an agent waits for and reads so many sockets
_UNDER_WAY = 0.1  # seconds that a packet may wait in the sockets of a process that is ended
_TOLD = 5  # lost packets that are told one by one


@dataclass(frozen=True, slots=True)
class Settings:
    """What a soak is.

    Attributes:
        dataplane: What forwards.
        seconds: For how long faults come.
        seed: Of the plan.
        calls: How many calls there are.
        rate: Packets a second, of each call in each direction.
        name: Of the testbed.
    """

    dataplane: DataplaneChoice
    seconds: float
    seed: int
    calls: int = 300
    rate: float = 20.0
    name: str = "soak"


@dataclass(slots=True)
class Outcome:
    """What a soak has shown.

    Attributes:
        settings: What it was.
        seconds: How long faults came.
        faults: How often each came.
        steps: When each began, in seconds of the monotonic clock, and what it was.
        slowest: The longest time after each until all calls passed packets again, in seconds.
        before: What the relay took before the first one.
        after: What it took at the end.
        account: What became of all packets.
        dropped: What the interfaces of all hosts have dropped meanwhile.
        problems: What should not be, in words; empty if all is well.
    """

    settings: Settings
    seconds: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    steps: list[tuple[float, str]] = field(default_factory=list)
    slowest: dict[str, float] = field(default_factory=dict)
    before: Resources | None = None
    after: Resources | None = None
    account: Account = field(default_factory=Account)
    dropped: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def run(settings: Settings, progress: Callable[[str], None]) -> Outcome:
    """Run a soak in network namespaces of its own.

    Args:
        settings: What it is.
        progress: Is told of each step.

    Raises:
        LabError: The testbed cannot be made, or calls do not connect.
    """
    outcome = Outcome(settings)
    outages: list[Outage] = []
    with _testbed(settings) as testbed:
        progress(f"{settings.dataplane}: {settings.calls} calls connect")
        with Calls(testbed, settings.calls, settings.rate) as calls:
            calls.run_for(_SETTLE_SECONDS)
            outcome.before = Resources.of(testbed)
            dropped = drops(testbed)
            try:
                _let_things_go_wrong(testbed, calls, outcome, outages, progress)
                calls.run_for(_SETTLE_SECONDS)
                _wait_until_none_is_pending(testbed, calls)
                outcome.after = Resources.of(testbed)
                outcome.problems += _strangers(testbed, calls)
            except LabError as error:
                outcome.problems.append(str(error))
        outcome.account = settle(calls.ways(), outages)
        outcome.dropped = dict(drops(testbed) - dropped)
    _judge(outcome)
    return outcome


@contextmanager
def _testbed(settings: Settings) -> Iterator[RelayTestbed]:
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="icelane-soak-")))
        lines = [f'redis = "redis://{REDIS}/0"']
        if settings.dataplane is DataplaneChoice.USERSPACE:
            lines.append("workers = 2")
        testbed = RelayTestbed(settings.name, directory, settings.dataplane, settings=lines)
        stack.enter_context(testbed)
        testbed.run(redis_service(directory))
        if HAS_IPV6:  # else an IPv6 address goes with its link for ever
            for host in testbed.hosts.values():
                host.sysctl("ipv6/conf/all/keep_addr_on_down", 1)
        yield testbed


def _let_things_go_wrong(
    testbed: RelayTestbed,
    calls: Calls,
    outcome: Outcome,
    outages: list[Outage],
    progress: Callable[[str], None],
) -> None:
    # How much a flood takes of its numbers depends on the time; the plan does not.
    rng, of_floods = (random.Random(f"{outcome.settings.seed} {use}") for use in ("plan", "floods"))
    faults = Faults(testbed, calls, of_floods)
    began = time.monotonic()
    for step in _plan(rng, outcome.settings, lambda: time.monotonic() - began):
        calls.run_for(step.pause)
        since = time.monotonic()
        progress(f"{since - began:6.1f} s  {step.fault}")
        outcome.steps.append((since, step.fault))
        cut = faults.run(step)
        over = time.monotonic()
        calls.wait_until_all_pass()
        until = time.monotonic()
        if cut:
            outages.append(Outage(since - _UNDER_WAY, until, step.fault))
        outcome.faults[step.fault] += 1
        outcome.slowest[step.fault] = max(outcome.slowest.get(step.fault, 0.0), until - over)
        outcome.seconds = until - began


def _wait_until_none_is_pending(testbed: RelayTestbed, calls: Calls) -> None:
    """Until the flows that floods have made are gone, with all that they took."""
    deadline = time.monotonic() + _PENDING_SECONDS
    while any(flow["state"] == State.PENDING.value for flow in testbed.status()["flows"]):
        if time.monotonic() > deadline:
            raise LabError(f"Flows are still pending after {_PENDING_SECONDS:.0f} s.")
        calls.run_for(_PENDING_SECONDS / 100)


def _strangers(testbed: RelayTestbed, calls: Calls) -> list[str]:
    """Flows of nobody, and second ones of a call."""
    wanted = {str(Endpoint.of(call.client.getsockname())) for call in calls.calls}
    problems = []
    for flow in testbed.status()["flows"]:
        if flow["client"] in wanted:
            wanted.remove(flow["client"])
        else:
            problems.append(f"a flow is there that no call has, or has twice: {flow}")
    return problems


def _plan(rng: random.Random, settings: Settings, elapsed: Callable[[], float]) -> Iterator[Step]:
    """Steps until the time is over, of which the last ones end no process."""
    faults = FAULTS[settings.dataplane]
    lasting = [each for each in faults if each not in ENDS_PROCESS]
    for share, some in ((_SHARE_WITH_ENDS, faults), (1.0, lasting)):
        for step in steps(rng, some):
            if elapsed() >= settings.seconds * share:
                break
            yield step


def _judge(outcome: Outcome) -> None:
    account = outcome.account
    if outcome.settings.dataplane is DataplaneChoice.XDP and account.lost:
        outcome.problems.append(
            f"{len(account.lost)} packets were lost though no link was down: "
            f"{_told(account.lost, outcome.steps)}. In all, the interfaces dropped "
            f"{outcome.dropped or 'nothing'}"
        )
    if account.duplicated:
        outcome.problems.append(f"{account.duplicated} packets came twice")
    if account.strange:
        outcome.problems.append(
            f"{len(account.strange)} packets were damaged or another's: "
            f"{_told(account.strange, outcome.steps)}"
        )
    if outcome.before is not None and outcome.after is not None:
        # An agent that the program has been taken from once has a socket for each flow since then.
        sockets = outcome.settings.calls + _EVENT_FILES if outcome.faults.keys() & UNLOADS else 0
        outcome.problems += outcome.after.grown(outcome.before, sockets)


def _told(faults: Sequence[Fault], steps: Sequence[tuple[float, str]]) -> str:
    """Some faults in words, each with what went wrong last before."""
    told = []
    for fault in faults[:_TOLD]:
        step = next((each for each in reversed(steps) if each[0] <= fault.at), (fault.at, "begin"))
        since = f"{fault.at - step[0]:.3f} s after {step[1]!s} began"
        told.append(f"call {fault.flow} {fault.way}, {fault.what}, {since}")
    return "; ".join(told)
