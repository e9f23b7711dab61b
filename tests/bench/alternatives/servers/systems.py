"""Servers at the public address, without a relay, as systems that can be measured."""

import secrets
import select
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from relay.wire.endpoint import Endpoint
from tests.bench.alternatives.servers import server
from tests.bench.compare.systems.flows import NumberedFlows
from tests.bench.compare.testbed.system import Flow, Leg, RunningSystem
from tests.bench.compare.testbed.testbed import Testbed
from tests.bench.compare.traffic.checks import (
    LARGEST,
    MARK_SIZE,
    NUMBER_SIZE,
    binding_request,
    raw_socket,
)
from tests.lab.errors import LabError

_TRANSACTION = slice(28 + 8, 28 + 20)  # in a packet from its IPv4 header on
_RETRANSMIT_SECONDS = 0.25
_WINDOW = 64  # requests under way at a time
_LIMIT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Server:
    """A server with many sessions.

    Attributes:
        name: What tables call it.
        shared: Whether its sessions share a port.
        max_flows: How many it can have; a process may open 20,000 files on some machines.
    """

    name: str
    shared: bool
    max_flows: int = 15_000

    def missing(self) -> str | None:
        """Nothing: it is part of the benchmark."""
        return None

    @contextmanager
    def running(self, testbed: Testbed, flows: int) -> Iterator[RunningSystem]:
        """Run it on the relay's host, with a path to each of so many sessions.

        Raises:
            LabError: It does not start, or sessions do not answer.
        """
        first = testbed.vip._replace(port=testbed.upstream_ports[0])
        command = [sys.executable, "-m", server.__name__, str(first), str(flows)]
        command += ["--shared"] if self.shared else []

        def flow(number: int) -> Flow:
            client, session = testbed.client(number), self._session(first, number)
            return Flow(Leg(client, session), Leg(session, client))

        with testbed.start(command, ready="^ready") as started:
            opened = NumberedFlows(flows, flow)
            check_sessions(testbed, opened, range(flows))
            yield RunningSystem(opened, started.pids, restart=started.restart)

    def _session(self, first: Endpoint, number: int) -> Endpoint:
        return first if self.shared else first._replace(port=first.port + number)


def check_sessions(testbed: Testbed, flows: Sequence[Flow], wanted: Sequence[int]) -> None:
    """Have clients pass a connectivity check.

    Args:
        testbed: Where.
        flows: The paths of all sessions.
        wanted: The numbers of those that are checked.

    Raises:
        LabError: Some are not answered in time.
    """
    mark = secrets.token_bytes(MARK_SIZE)
    waiting: dict[int, float] = {}  # when each was sent last
    numbers = iter(wanted)
    deadline = time.monotonic() + _LIMIT_SECONDS
    answered = 0
    with raw_socket(testbed) as raw:
        while answered < len(wanted):
            now = time.monotonic()
            if now > deadline:
                raise LabError(f"Of {len(wanted)} sessions {answered} answer.")
            while len(waiting) < _WINDOW and (number := next(numbers, None)) is not None:
                waiting[number] = 0.0
            for number, sent in waiting.items():
                if now - sent > _RETRANSMIT_SECONDS:
                    waiting[number] = now
                    leg = flows[number].to_transceiver
                    name = server.ufrag(number)
                    check = binding_request(leg.source, leg.destination, name, mark, number)
                    raw.sendto(check, (leg.destination.host, 0))
            select.select([raw], [], [], _RETRANSMIT_SECONDS / 5)
            with suppress(BlockingIOError):
                while True:
                    transaction = raw.recv(LARGEST)[_TRANSACTION]
                    number = int.from_bytes(transaction[-NUMBER_SIZE:], "big")
                    if transaction[:MARK_SIZE] == mark and waiting.pop(number, None) is not None:
                        answered += 1


ONE_SERVICE = Server("one service", shared=True)
PORTS = Server("a port per session", shared=False)
