"""One trace of a real call has the spans of all three services, each in a process of its own."""

import contextlib
import os
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from relay.admin.transport import ask
from tests.collector import Collector, Received, collecting
from tests.e2e.conftest import WAIT
from tests.e2e.test_up import called, up
from tests.lab.call import Call
from tests.lab.config import CLIENT_ADDRESS, MEDIA, UPSTREAM, VIP, Options, icelane
from tests.lab.lab import Lab
from tests.lab.topology import RELAY, TRANSCEIVER
from tests.ports import free_port

pytestmark = pytest.mark.e2e

SECONDS = 5.0
PORT = 4318
SERVICES = {"icelane-signaling", "icelane-transceiver", "icelane-relay"}
RELAYS = ["flow set-up", "install", "pending"]
TRANSCEIVERS = [
    *("DTLS", "answer", "call set-up", "channel", "first check", "nomination"),
    *("sound from client", "sound to client"),
]
SIGNALINGS = ["POST /v1/realtime/calls", "POST /v1/sessions", "placement"]
# What ends a call's set-up comes from three processes, a second after it at the latest.
LEEWAY = 0.005  # seconds: of clocks that are read one after the other

BringUp = Callable[[Options], Lab]


def is_whole(spans: list[Received]) -> bool:
    return len(spans) >= len([*RELAYS, *TRANSCEIVERS, *SIGNALINGS])


@contextlib.contextmanager
def listening(lab_up: Callable[[], Lab]) -> Iterator[tuple[Lab, Collector]]:
    """A lab with a collector on the loopback of each host that has a service."""
    lab = lab_up()
    sockets = []
    for name in (RELAY, TRANSCEIVER):
        with lab.hosts[name].inside():
            sockets.append(socket.create_server(("127.0.0.1", PORT)))
    with collecting(*sockets) as collector:
        yield lab, collector


@pytest.fixture(
    scope="module",
    params=[pytest.param("xdp", marks=pytest.mark.bpf), "userspace"],
)
def spans(request: pytest.FixtureRequest, bring_up: BringUp) -> list[Received]:
    """Those of a call in a lab."""
    options = Options(dataplane=request.param, tracing=f"http://127.0.0.1:{PORT}")
    with listening(lambda: bring_up(options)) as (lab, collector):
        with Call(lab, SECONDS) as call:
            report = call.report()
        assert report["ok"], report["error"]
        found = collector.wait(is_whole)
        assert collector.paths == {"/v1/traces"}
        wait_until(lambda: ask(lab.admin, "counters")["spans_sent"] == len(RELAYS))
        assert ask(lab.admin, "counters")["spans_failed"] == 0
        said = b"".join(collector.bodies)
    # Neither of who calls nor of what a ufrag is made of.
    for secret in (VIP.host, CLIENT_ADDRESS, MEDIA.host, UPSTREAM):
        assert secret.encode() not in said
    assert {each.attributes.get("icelane.dataplane") for each in found} == {None, request.param}
    return found


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def named(spans: list[Received], name: str) -> Received:
    (found,) = (each for each in spans if each.name == name)
    return found


def test_one_trace_has_the_spans_of_all_services(spans: list[Received]) -> None:
    assert len({each.trace for each in spans}) == 1
    assert {each.service for each in spans} == SERVICES
    by_service = {
        service: sorted(each.name for each in spans if each.service == service)
        for service in SERVICES
    }
    assert by_service == {
        "icelane-relay": RELAYS,
        "icelane-transceiver": TRANSCEIVERS,
        "icelane-signaling": SIGNALINGS,
    }
    assert max(Counter(each.id for each in spans).values()) == 1
    assert {each.error for each in spans} == {""}


def test_each_span_is_below_what_it_comes_from(spans: list[Received]) -> None:
    first = named(spans, "POST /v1/realtime/calls")
    assert first.parent == ""
    above = {
        "placement": first.name,
        "POST /v1/sessions": "placement",
        "call set-up": "POST /v1/sessions",
        "flow set-up": first.name,
        "pending": "flow set-up",
        "install": "flow set-up",
    }
    above |= {name: "call set-up" for name in TRANSCEIVERS if name != "call set-up"}
    names = {each.id: each.name for each in spans}
    assert {each.name: names[each.parent] for each in spans if each.parent} == above


def test_times_are_those_of_the_call(spans: list[Received]) -> None:
    assert all(each.start <= each.end for each in spans)
    assert abs(min(each.start for each in spans) - time.time()) < 120
    assert max(each.end for each in spans) - min(each.start for each in spans) < 5.0
    ids = {each.id: each for each in spans}
    for each in spans:
        if each.parent:
            assert each.start >= ids[each.parent].start - LEEWAY, each.name
    in_order = ("answer", "pending", "install", "DTLS", "sound from client")
    ends = [named(spans, name).end for name in in_order]
    assert ends == sorted(ends)
    # The transceiver's answer to the first check is what the relay waits for.
    check, pending = named(spans, "first check"), named(spans, "pending")
    assert pending.start - LEEWAY <= check.end <= pending.end + LEEWAY


def all_in_one(*options: str) -> tuple[list[str], list[str]]:
    """The command lines of `icelane up`, and of a call to it."""
    vip, page = (f"127.0.0.1:{free_port()}" for _ in range(2))
    command = [icelane(), "up", "--vip", vip, "--listen", page, "--backend", "echo", *options]
    command += ["--instance", f"tracing-{os.getpid()}"]
    return command, [icelane(), "call", f"http://{page}", "--seconds", "3", "--json"]


def test_workers_and_services_of_one_process_are_told_apart() -> None:
    with collecting() as collector:
        command, call = all_in_one("--workers", "2")
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
        with up(["env", *(f"{name}={value}" for name, value in environment.items()), *command]):
            called(call)
            found = collector.wait(is_whole)
    assert {each.service for each in found} == SERVICES
    assert len({each.trace for each in found}) == 1


def test_a_ratio_of_nothing_sends_nothing() -> None:
    with collecting() as collector:
        command, call = all_in_one("--tracing", collector.url, "--tracing-ratio", "0")
        with up(command):
            called(call)
    assert collector.spans == []


@pytest.mark.parametrize("hangs", [False, True], ids=["is away", "hangs"])
def test_a_call_does_not_notice_a_collector_that(*, hangs: bool) -> None:
    log: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        if not hangs:
            listener.close()
        command, call = all_in_one("--tracing", f"http://127.0.0.1:{port}")
        with up(["env", "OTEL_EXPORTER_OTLP_TIMEOUT=1", *command], log):
            report = called(call)
    assert (report["lost_to_server"], report["lost_to_client"]) == (0, 0)
    lost = [line for line in log if "spans" in line]
    assert all("could not be sent; calls go on" in each or "in time" in each for each in lost)
    assert 1 <= len(lost) <= 6  # one of each service, and one of each at its end
    assert not [line for line in log if "Traceback" in line or "opentelemetry" in line]


def test_the_packages_are_asked_for_where_they_are_missing(tmp_path: Path) -> None:
    (tmp_path / "opentelemetry").mkdir()
    (tmp_path / "opentelemetry" / "__init__.py").touch()  # one that has nothing, in their place
    command, _ = all_in_one("--tracing", "http://127.0.0.1:4318")
    without = ["env", f"PYTHONPATH={tmp_path}", *command]
    done = subprocess.run(without, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert "pip install 'icelane[tracing]'" in done.stderr
    assert "Traceback" not in done.stderr
