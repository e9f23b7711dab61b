"""One trace of a real call has the spans of all three services, each in a process of its own."""

import contextlib
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from tests.collector import Collector, Received, collecting
from tests.lab.call import Call
from tests.lab.config import CLIENT_ADDRESS, MEDIA, UPSTREAM, VIP, Options
from tests.lab.lab import Lab
from tests.lab.topology import RELAY, TRANSCEIVER

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
        said = b"".join(collector.bodies)
    # Neither of who calls nor of what a ufrag is made of.
    for secret in (VIP.host, CLIENT_ADDRESS, MEDIA.host, UPSTREAM):
        assert secret.encode() not in said
    assert {each.attributes.get("icelane.dataplane") for each in found} == {None, request.param}
    return found


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
