"""Every component is replaced by another one, while calls go on; what they bear of it."""

import os
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Self

from relay.admin import transport as admin
from tests.bench.failover.calls import Calls
from tests.bench.failover.gaps import Way, way
from tests.bench.failover.recorder import Arrival, read
from tests.lab.capture import FrameCapture
from tests.lab.config import (
    CONTROL,
    MEDIA,
    REDIS_SERVICE,
    RELAY_SERVICE,
    SIGNALING_ENDPOINT,
    SIGNALING_SERVICE,
    TRANSCEIVER_SERVICE,
    Options,
    icelane,
)
from tests.lab.errors import LabError
from tests.lab.lab import Lab
from tests.lab.service import Service
from tests.lab.topology import CLIENT, INTERNAL, PUBLIC, TRANSCEIVER

SECOND = "transceiver-2"
_Sender = tuple[str, int]  # the host at which it is heard, and its SSRC
# The next one's addresses, beside those of the first one.
_MEDIA, _CONTROL = (each._replace(port=each.port + 1) for each in (MEDIA, CONTROL))
_CALM = 0.3  # seconds before something happens, in which calls must have been heard
_UNDER_WAY = 0.2  # seconds that packets may take to arrive, and to be read
_ENOUGH = 10  # packets, by which a call is heard again
_LIMIT = 30.0  # seconds, such as until all calls are
_POLL = 0.05


@dataclass(frozen=True, slots=True)
class Replaced:
    """What calls bore when something was replaced.

    Attributes:
        component: What.
        how: How.
        calls: How many there were.
        dropped: How many were not heard again, in one direction or both.
        lost: How many of their packets did not arrive, both ways.
        silence: The longest time without a packet in any direction, in seconds; 20 ms is usual.
        seconds: How long it took.
    """

    component: str
    how: str
    calls: int
    dropped: int
    lost: int
    silence: float
    seconds: float


class _Recorder:
    """All packets of media as they arrive, by the direction and the sender, while entered."""

    def __init__(self, lab: Lab) -> None:
        self._arrived: defaultdict[_Sender, list[Arrival]] = defaultdict(list)
        self._captures = [
            FrameCapture(lab.hosts[host], interface, self._taker(host))
            for host, interface in ((CLIENT, PUBLIC), (TRANSCEIVER, INTERNAL))
        ]
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for each in self._captures:
                stack.enter_context(each)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    def heard(self, since: float) -> set[_Sender]:
        """Who was heard right before a moment."""
        return {
            sender
            for sender, arrived in list(self._arrived.items())
            if any(since - _CALM <= each.at < since for each in list(arrived))
        }

    def silent(self, senders: set[_Sender], since: float) -> set[_Sender]:
        """Which of them are not heard again after a moment; it waits for all."""
        deadline = time.monotonic() + _LIMIT
        left = senders
        while left and time.monotonic() < deadline:
            time.sleep(_POLL)
            left = {each for each in left if self._count(each, since) < _ENOUGH}
        return left

    def way(self, sender: _Sender, since: float, until: float) -> Way:
        """What of a sender has arrived around a moment, until another one."""
        return way(list(self._arrived[sender]), since, until)

    def _count(self, sender: _Sender, since: float) -> int:
        return sum(each.at >= since for each in list(self._arrived[sender]))

    def _taker(self, host: str) -> Callable[[bytes, float, bool], None]:
        def take(frame: bytes, at: float, outgoing: bool) -> None:
            if not outgoing and (seen := read(frame)) is not None:
                self._arrived[host, seen.ssrc].append(Arrival(at, seen.number, ""))

        return take


def rolling(dataplane: str, calls: int, progress: Callable[[str], None]) -> Iterator[Replaced]:
    """Replace all, one after the other.

    Args:
        dataplane: The relay's: xdp or userspace.
        calls: How many calls there are meanwhile.
        progress: Told what is being done.

    Raises:
        LabError: Something does not start.
    """
    lab = Lab(f"rolling-{os.getpid()}")
    lab.up(Options(dataplane=dataplane, redis=True, capacity=max(calls, 1)), progress)
    with ExitStack() as stack:
        stack.callback(lab.down)
        recorder = stack.enter_context(_Recorder(lab))
        first = stack.enter_context(Calls(lab.hosts[CLIENT], calls, SIGNALING_ENDPOINT))
        progress(f"{calls} calls talk over {dataplane}")
        _add_transceiver(lab)

        @contextmanager
        def watched(component: str, how: str, found: list[Replaced]) -> Iterator[None]:
            progress(f"{component}: {how}")
            time.sleep(_CALM + _UNDER_WAY)
            since = time.time()
            yield
            found.append(_judge(recorder, component, how, since))

        found: list[Replaced] = []
        with watched("relay", "the next one takes over", found):
            lab.take_over(RELAY_SERVICE)
        with watched("signaling", "stopped and started", found):
            lab.restart(SIGNALING_SERVICE)
        with watched("Redis", "stopped and started, empty", found):
            lab.restart(REDIS_SERVICE)
        second = Calls(lab.hosts[CLIENT], calls, SIGNALING_ENDPOINT)
        with watched("transceiver", "drained; new calls go to the next one", found):
            _drain(lab)
            stack.enter_context(second)
        first.__exit__()
        with watched("transceiver", "stopped when its calls have ended", found):
            _drain(lab, "--wait", str(_LIMIT))
            lab.stop(TRANSCEIVER_SERVICE)
        yield from found


def _judge(recorder: _Recorder, component: str, how: str, since: float) -> Replaced:
    done = time.time()
    heard = recorder.heard(since)
    silent = recorder.silent(heard, done)
    ways = [recorder.way(each, since, time.time() - _UNDER_WAY) for each in heard]
    return Replaced(
        component,
        how,
        calls=_at_client(heard),
        # Of a call that is gone, each direction is silent.
        dropped=max(_at_client(silent), len(silent) - _at_client(silent)),
        lost=sum(each.lost for each in ways),
        silence=max((each.silence for each in ways), default=0.0),
        seconds=done - since,
    )


def _at_client(senders: set[_Sender]) -> int:
    return sum(host == CLIENT for host, _ in senders)


def _add_transceiver(lab: Lab) -> None:
    """Start the next transceiver, and have relay and signaling know it."""
    listen, control = ("--listen", str(_MEDIA)), ("--control", str(_CONTROL))
    target = ("--cluster", "1", "--slot", "2", "--generation", "1")
    keys = ("--keys", str(lab.directory / "keys.toml"))
    command = (icelane(), "transceiver", "run", *listen, *control, *target, *keys)
    lab.run(Service(SECOND, TRANSCEIVER, command, ready="^ready"))
    with (lab.directory / "registry.toml").open("a", encoding="utf-8") as registry:
        registry.write(
            "[[transceiver]]\ncluster = 1\nslot = 2\ngeneration = 1\n"
            f'address = "{_MEDIA}"\ncontrol = "http://{_CONTROL}"\n'
        )
    deadline = time.monotonic() + _LIMIT
    while len(admin.ask(lab.admin, "status")["transceivers"]) < 2:
        if time.monotonic() > deadline:
            raise LabError(f"The relay does not know the next transceiver after {_LIMIT:.0f} s.")
        time.sleep(_POLL)


def _drain(lab: Lab, *options: str) -> None:
    command = (icelane(), "transceiver", "drain", f"http://{CONTROL}", *options)
    line = lab.hosts[TRANSCEIVER].command(command)
    done = subprocess.run(line, check=False, capture_output=True, text=True)
    if done.returncode:
        raise LabError(f"The transceiver does not drain: {done.stderr.strip()}")
