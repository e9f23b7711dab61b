"""A process that measures round trips: from a socket to the far end of the path and back.

Its only argument is a `Task` as JSON; it prints an `Outcome` as JSON.
"""

import json
import socket
import struct
import sys
import time
from dataclasses import asdict, dataclass

from tests.bench.compare.traffic import layout
from tests.bench.compare.traffic.histogram import bucket_of

_STAMP = struct.Struct("!2sHII4s")
_RUN = struct.Struct("=IQ")
_LARGEST = 2048


@dataclass(frozen=True, slots=True)
class Task:
    """What to measure.

    Attributes:
        source: Host and port of the client.
        destination: Host and port of the system.
        prefix: A ChannelData header without its length, as hexadecimal digits, or nothing.
        payload: The size of payloads in bytes.
        period: Seconds from one packet to the next.
        count: How many packets.
        patience: Seconds after which a packet is lost.
    """

    source: tuple[str, int]
    destination: tuple[str, int]
    prefix: str
    payload: int
    period: float
    count: int
    patience: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it.

    Attributes:
        counts: Round trips by bucket of `histogram`, those that there were.
        slowest: The longest one in ns.
        lost: Packets that did not come back in time.
    """

    counts: dict[int, int]
    slowest: int
    lost: int


def payload_of(number: int, size: int) -> bytes:
    """What the far end sends back."""
    sequence = number & 0xFFFF
    stamp = _STAMP.pack(layout.RTP, sequence, sequence * 960, number, layout.MAGIC)
    return (stamp + _RUN.pack(layout.RUN_ECHO, 0)).ljust(size, b"\0")


def ping(task: Task, connection: socket.socket) -> Outcome:
    """Send packets at their times, each when the one before has come back or is lost."""
    prefix = bytes.fromhex(task.prefix)
    header = prefix + task.payload.to_bytes(2, "big") if prefix else b""
    counts: dict[int, int] = {}
    slowest = lost = 0
    start = time.monotonic()
    for number in range(task.count):
        packet = header + payload_of(number, task.payload)
        time.sleep(max(0.0, start + number * task.period - time.monotonic()))
        taken = _round_trip(connection, packet, task)
        if taken is None:
            lost += 1
            continue
        bucket = bucket_of(taken)
        counts[bucket] = counts.get(bucket, 0) + 1
        slowest = max(slowest, taken)
    return Outcome(counts, slowest, lost)


def _round_trip(connection: socket.socket, packet: bytes, task: Task) -> int | None:
    """The time until a packet is back, in ns; None when it is lost."""
    sent = time.perf_counter_ns()
    connection.sendto(packet, task.destination)
    while True:
        try:
            back = connection.recv(_LARGEST)
        except TimeoutError:
            return None
        taken = time.perf_counter_ns() - sent
        if back == packet:
            return taken
        if taken > task.patience * 1e9:  # only late ones come back
            return None


def main() -> None:
    """Measure."""
    given = json.loads(sys.argv[1])
    task = Task(**given | {name: tuple(given[name]) for name in ("source", "destination")})
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connection:
        connection.bind(task.source)
        connection.settimeout(task.patience)
        outcome = ping(task, connection)
    sys.stdout.write(json.dumps(asdict(outcome)) + "\n")


if __name__ == "__main__":
    main()
