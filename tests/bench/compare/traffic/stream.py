"""Traffic through a system: packets from one end to the other, counted at both."""

import ctypes
import secrets
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from tests.bench.compare.testbed.system import Direction, Flow
from tests.bench.compare.testbed.testbed import DIRECT, SENDER_CORE, Testbed
from tests.bench.compare.traffic import layout, sender
from tests.bench.compare.traffic.attach import attached
from tests.bench.compare.traffic.histogram import Histogram
from tests.bench.compare.traffic.plan import frame_size, make_plan, pack_legs
from tests.bench.compare.traffic.programs import programs
from tests.bench.compare.traffic.sendingprocess import SendingProcess
from tests.bench.resource import Resource
from tests.lab.errors import LabError
from tests.lab.topology import CLIENT, RELAY, TRANSCEIVER

BATCH = 64  # frames that are handed on together, as a driver does under load
BURST_SECONDS = 0.0005  # between two bursts
GRACE_SECONDS = 0.005  # after the last packet, in which packets count as delivered
MOST_SECONDS = 60.0

_QUIET_SECONDS = 0.03  # without a packet, after which none is on its way any more
_DRAIN_SECONDS = 1.0
_ANSWER_SECONDS = 10.0
_LOOK_EVERY = 0.001


@dataclass(frozen=True, slots=True)
class Passed:
    """What became of packets.

    Attributes:
        requested: How many were to be sent; None when it was as many as possible.
        sent: How many were.
        arrived: How many had arrived `GRACE_SECONDS` after the last one was sent.
        late: How many arrived after that.
        seconds: How long they were sent, by the sender's clock.
        latency: How long those that arrived took, if it was to be measured.
    """

    requested: int | None
    sent: int
    arrived: int
    late: int
    seconds: float
    latency: Histogram | None = None

    @property
    def loss(self) -> float:
        """The share of packets that did not arrive, or too late."""
        return (self.sent - self.arrived) / self.sent if self.sent else 1.0

    @property
    def sent_rate(self) -> float:
        """Packets sent a second."""
        return self.sent / self.seconds

    @property
    def arrived_rate(self) -> float:
        """Packets delivered a second."""
        return self.arrived / self.seconds


class Traffic(Resource):
    """Traffic of some flows in one direction, from entering to leaving.

    Args:
        testbed: Where.
        flows: The flows, whose packets take turns.
        direction: Which way.
        payload: The size of payloads in bytes.
        direct: Whether it goes over the cable that leads past the relay.
    """

    def __init__(
        self,
        testbed: Testbed,
        flows: Sequence[Flow],
        direction: Direction,
        payload: int,
        *,
        direct: bool = False,
    ) -> None:
        self._testbed = testbed
        self._flows = flows
        self._direction = direction
        self._payload = payload
        self._direct = direct

    def _open(self, stack: ExitStack) -> None:
        """Make both ends ready.

        Raises:
            LabError: The traffic's programs cannot be built or attached.
        """
        self._programs = programs()
        indexes = {
            host: stack.enter_context(
                attached(
                    self._testbed.hosts[host],
                    self._interface(host),
                    self._programs.fds[program],
                )
            )
            for host, program in ((CLIENT, "near_end"), (TRANSCEIVER, "far_end"))
        }
        to_client = self._direction is Direction.TO_CLIENT
        self._host = TRANSCEIVER if to_client else CLIENT
        self._ifindex = indexes[self._host]
        self._write_plan()
        fds = [self._programs.fds[name] for name in ("send_frame", "send_burst", "progresses")]
        self._sender = stack.enter_context(
            SendingProcess(self._testbed.hosts[self._host], SENDER_CORE, fds)
        )

    def send(self, rate: float | None, seconds: float, *, timed: bool = False) -> Passed:
        """Send at a steady rate, in batches as a driver does.

        Args:
            rate: Packets a second; None: as many as possible.
            seconds: How long, up to `MOST_SECONDS`.
            timed: Whether to measure latency.

        Raises:
            LabError: The sender fails.
        """
        seconds = min(seconds, MOST_SECONDS)
        interval = 0 if rate is None else round(1e9 / rate * 65536)
        self._begin(interval=interval, duration=round(seconds * 1e9), burst=0, timed=timed)
        self._sender.start(sender.Frames(self._size, self._ifindex, BATCH, seconds))
        return self._finish(None if rate is None else round(rate * seconds), seconds)

    def begin_bursts(
        self, rate: float, seconds: float, *, timed: bool = False, batched: bool = True
    ) -> None:
        """Begin to send in bursts; the sender sleeps between them. `finish_bursts` follows.

        Args:
            rate: Packets a second.
            seconds: How long, up to `MOST_SECONDS`.
            timed: Whether to measure latency.
            batched: Whether a burst's packets are handed on together, or one after the other.

        Raises:
            LabError: The sender fails.
        """
        seconds = min(seconds, MOST_SECONDS)
        size = max(1, round(rate * BURST_SECONDS))
        if size > layout.MAX_BURST:
            raise LabError(f"Bursts of {size} packets are too large; send fewer a second.")
        gap = size / rate
        self._bursts = round(seconds / gap), size, seconds
        self._begin(interval=0, duration=0, burst=size if batched else 1, timed=timed)
        passes = 1 if batched else size
        self._sender.start(sender.Bursts(self._size, passes, gap, self._bursts[0]))

    def finish_bursts(self) -> Passed:
        """Wait until all bursts are sent.

        Raises:
            LabError: The sender fails.
        """
        count, size, seconds = self._bursts
        return self._finish(count * size, seconds)

    @property
    def sender_pid(self) -> int:
        """The number of the process that sends."""
        return self._sender.pid

    def _interface(self, host: str) -> str:
        return DIRECT if self._direct else self._testbed.interface(host)

    def _write_plan(self) -> None:
        count = len(self._flows)
        prefixed = any(flow.leg(self._direction).prefix for flow in self._flows[:1])
        macs = self._destination_mac() + self._testbed.mac(self._host, self._interface(self._host))
        self._plan = make_plan(macs, count, self._payload, prefixed=prefixed)
        self._size = frame_size(self._payload, prefixed=prefixed)
        legs = (flow.leg(self._direction) for flow in self._flows)
        self._programs.legs[: layout.LEG_SIZE * count] = bytes(
            pack_legs(legs, count, self._payload)
        )

    def _destination_mac(self) -> bytes:
        if self._direct:
            other = CLIENT if self._host == TRANSCEIVER else TRANSCEIVER
            return self._testbed.mac(other, DIRECT)
        return self._testbed.mac(RELAY, self._testbed.interface(self._host))

    def _begin(self, *, interval: int, duration: int, burst: int, timed: bool) -> None:
        plan = self._plan
        plan.run = secrets.randbelow(layout.RUN_ECHO)
        plan.interval, plan.duration, plan.burst = interval, duration, burst
        plan.ifindex = self._ifindex
        self._timed = timed
        _copy(self._programs.watch, layout.Watch(run=plan.run, timed=timed))
        self._programs.reset()
        _copy(self._programs.progress, layout.Progress())
        _copy(self._programs.plan, plan)

    def _finish(self, requested: int | None, seconds: float) -> Passed:
        progress = self._programs.progress
        deadline = time.monotonic() + 2 * seconds + _ANSWER_SECONDS
        while not progress.ended and not self._sender.has_answered(_LOOK_EVERY):
            if time.monotonic() > deadline:
                raise LabError("The sending process does not come to an end.")
        time.sleep(GRACE_SECONDS)
        arrived = self._programs.tally().packets
        self._sender.wait(deadline)
        if not progress.ended:
            raise LabError("The sending process did not come to send in time.")
        self._drain()
        tally = self._programs.tally()
        return Passed(
            requested=requested,
            sent=progress.sent,
            arrived=arrived,
            late=tally.packets - arrived,
            seconds=(progress.ended - progress.started) / 1e9,
            latency=Histogram(self._programs.counts(), tally.slowest) if self._timed else None,
        )

    def _drain(self) -> None:
        """Wait until nothing arrives any more."""
        deadline = time.monotonic() + _DRAIN_SECONDS
        before = -1
        while (now := self._programs.tally().packets) != before and time.monotonic() < deadline:
            before = now
            time.sleep(_QUIET_SECONDS)


def _copy(to: ctypes.Structure, what: ctypes.Structure) -> None:
    ctypes.memmove(ctypes.addressof(to), ctypes.addressof(what), ctypes.sizeof(what))
