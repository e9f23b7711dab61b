"""Round trips through a system."""

import json
import subprocess
import sys
from dataclasses import asdict, dataclass

from tests.bench.compare.testbed.system import Flow
from tests.bench.compare.testbed.testbed import Testbed
from tests.bench.compare.traffic import pinger
from tests.bench.compare.traffic.histogram import Histogram
from tests.bench.compare.traffic.layout import BUCKETS
from tests.lab.errors import LabError
from tests.lab.topology import CLIENT

PATIENCE_SECONDS = 0.5
_START_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class RoundTrips:
    """Round trips of one flow.

    Attributes:
        times: How long they took.
        lost: Packets that did not come back.
    """

    times: Histogram
    lost: int


def round_trips(
    testbed: Testbed, flow: Flow, *, payload: int, period: float, count: int, core: int
) -> RoundTrips:
    """Measure them, while an end of `Traffic` sends packets back at the transceiver.

    Args:
        testbed: Where.
        flow: The flow, whose client's address no socket has.
        payload: The size of payloads in bytes.
        period: Seconds from one packet to the next.
        count: How many packets.
        core: The processor of the client.

    Raises:
        LabError: No packet comes back, or the client fails.
    """
    leg = flow.to_transceiver
    task = pinger.Task(
        source=leg.source,
        destination=leg.destination,
        prefix=leg.prefix.hex(),
        payload=payload,
        period=period,
        count=count,
        patience=PATIENCE_SECONDS,
    )
    program = [sys.executable, "-m", pinger.__name__, json.dumps(asdict(task))]
    child = _run(
        testbed.hosts[CLIENT].command(["taskset", "-c", str(core), *program]), count, period
    )
    if child.returncode != 0:
        raise LabError(f"The client of round trips failed: {child.stderr.strip()[-300:]}")
    outcome = json.loads(child.stdout)
    if not outcome["counts"]:
        raise LabError("No packet came back from the transceiver.")
    counts = [outcome["counts"].get(str(bucket), 0) for bucket in range(BUCKETS)]
    return RoundTrips(Histogram(counts, outcome["slowest"]), outcome["lost"])


def _run(command: list[str], count: int, period: float) -> "subprocess.CompletedProcess[str]":
    most = _START_SECONDS + count * (period + PATIENCE_SECONDS)
    try:
        return subprocess.run(command, check=False, capture_output=True, text=True, timeout=most)
    except subprocess.TimeoutExpired:
        raise LabError("The client of round trips does not come to an end.") from None
