"""Whether a relay lives and is ready, over HTTP beside its metrics; and metrics of that.

`/healthz` (liveness): its event loop turns; else whoever started the process should start it
again. `/readyz` (readiness): it serves, and no essential task fails; else new clients should be
sent elsewhere. Neither depends on Redis.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import Any, Protocol

from relay.admin import catalogue
from relay.histogram import Histogram
from relay.loopturns import BOUNDS, LoopTurns
from relay.metrics import Measured, alone

#: The header that names the dataplane that forwards now; signaling knows it by this name, too.
DATAPLANE = "Icelane-Dataplane"

StartResponse = Callable[[str, list[tuple[str, str]]], Any]
Application = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]


class Health(Protocol):
    """What is asked, from another thread than that of the event loop."""

    @property
    def turns(self) -> LoopTurns:
        """How long the event loop's turns take."""

    @property
    def forwarder(self) -> str:
        """The dataplane that forwards now."""

    @property
    def clock_ahead(self) -> float:
        """How many seconds this machine's clock is ahead of most others'; see `relay.clocks`."""

    def unready(self) -> list[str]:
        """Why no new clients should come, a phrase each."""

    def tasks(self) -> Mapping[str, Mapping[str, Any]]:
        """The background tasks; see `relay.supervision.Supervisor.states`."""

    def failures(self) -> Mapping[str, int]:
        """How often each task, or another place, has failed."""


def answering(health: Health, others: Application) -> Application:
    """Answer the two paths, and leave all others to another application."""

    def answer(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path not in ("/healthz", "/readyz"):
            return others(environ, start_response)
        troubles = list(_hanging(health))
        if path == "/readyz":
            troubles += health.unready()
        status = HTTPStatus.SERVICE_UNAVAILABLE if troubles else HTTPStatus.OK
        headers = [
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Cache-Control", "no-store"),
            (DATAPLANE, str(health.forwarder)),
        ]
        start_response(f"{status.value} {status.phrase}", headers)
        return ["".join(f"{each}\n" for each in troubles or ["ok"]).encode()]

    return answer


def _hanging(health: Health) -> Iterator[str]:
    seconds = health.turns.hangs()
    if seconds is not None:
        yield f"the event loop hangs for {seconds:.0f} s"


def measure_health(health: Health) -> Iterator[Measured]:
    """Metrics of the event loop, of background tasks, and of which dataplane is in use."""
    forwarder = health.forwarder
    yield catalogue.DATAPLANE, {name: float(name == forwarder) for name in ("xdp", "userspace")}
    yield catalogue.READY, alone(float(not health.unready()))
    yield catalogue.CLOCK, alone(health.clock_ahead)
    tasks = health.tasks().items()
    yield catalogue.WORKING, {name: float(task["state"] != "failing") for name, task in tasks}
    yield catalogue.FAILURES, health.failures()
    turns = Histogram(BOUNDS)
    turns.add(health.turns.as_numbers())
    yield catalogue.LOOP_TURNS, alone(turns)
