"""Dashboards and alerts, held against a running system that a real Prometheus scrapes."""

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import time
from collections.abc import Callable
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest

from relay.admin import transport as admin
from relay.wire.endpoint import Endpoint
from tests.bench.turn.place import service_in
from tests.lab.call import Call
from tests.lab.config import (
    BACKEND_URL,
    CLIENT_ADDRESS,
    CONTROL,
    MEDIA,
    REDIS_SERVICE,
    RELAY_METRICS,
    RELAY_SERVICE,
    SIGNALING_METRICS,
    SIGNALING_SERVICE,
    SIGNALING_URL,
    TRANSCEIVER_SERVICE,
    VIP,
    Options,
)
from tests.lab.lab import Lab
from tests.lab.realtimeservice import Connection, beep, greet
from tests.lab.service import Service
from tests.lab.topology import CLIENT, INTERNAL, PUBLIC, RELAY
from tests.metrics.promql import ALERTS, SCRAPE, asked, selectors

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.bpf,
    pytest.mark.skipif(not shutil.which("prometheus"), reason="needs prometheus: make setup-test"),
]
LIMIT = 60.0  # seconds; a limit
OBSERVED = 6.0  # seconds of a call until it has been observed; see transceiver.quality
SCRAPED = 1.0  # seconds from one scrape to the next
MOST_SERIES = 1500
OFFER = b"v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n"
PROMETHEUS = "127.0.0.1:9090"  # on the loopback of the relay's host


@pytest.fixture(scope="module")
def lab(bring_up: Callable[[Options], Lab]) -> Lab:
    """All services, and Prometheus, which scrapes them once a second."""
    lab = bring_up(Options(dataplane="xdp", redis=True, metrics=True, backend=BACKEND_URL))
    # An alert waits for minutes, and a test for none; what is asked is the same.
    rules = lab.directory / "alerts.yml"
    rules.write_text(re.sub(r"for: \d+m", "for: 0s", ALERTS.read_text("utf-8")), "utf-8")
    text = SCRAPE.read_text("utf-8").replace("15s", "1s").replace("alerts.yml", str(rules))
    for example, address in (
        ("192.0.2.1:9100", RELAY_METRICS),
        ("192.0.2.2:9000", CONTROL),
        ("192.0.2.3:9101", SIGNALING_METRICS),
    ):
        assert example in text
        text = text.replace(example, str(address))
    config = lab.directory / "prometheus.yml"
    config.write_text(text, "utf-8")
    command: tuple[str, ...] = (
        "prometheus",
        f"--config.file={config}",
        f"--web.listen-address={PROMETHEUS}",
    )
    command += (f"--storage.tsdb.path={lab.directory / 'prometheus'}", "--log.level=info")
    lab.run(Service("prometheus", RELAY, command, ready="Server is ready"))
    return lab


def ask(lab: Lab, what: str, **parameters: str) -> Any:
    """What Prometheus answers."""
    url = f"http://{PROMETHEUS}/api/v1/{what}?{urlencode(parameters)}"
    with lab.hosts[RELAY].inside(), urlopen(url, timeout=LIMIT) as answer:
        told = json.load(answer)
    assert told["status"] == "success"
    return told["data"]


def query(lab: Lab, expression: str) -> list[Any]:
    """The samples of an expression now."""
    samples: list[Any] = ask(lab, "query", query=expression)["result"]
    return samples


def until(condition: Callable[[], object], what: Callable[[], object]) -> None:
    """Wait for a condition; says what is there when it does not come true."""
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, what()
        time.sleep(0.2)


def firing(lab: Lab) -> set[str]:
    """The names of the alerts that fire."""
    alerts = ask(lab, "alerts")["alerts"]
    return {each["labels"]["alertname"] for each in alerts if each["state"] == "firing"}


def fires(lab: Lab, *wanted: str) -> None:
    """Wait until these alerts fire."""
    until(lambda: set(wanted) <= firing(lab), lambda: (wanted, firing(lab)))


def post(lab: Lab, host: str, url: str, body: bytes, kind: str = "application/json") -> int:
    """POST something from a host; gives the status of the answer."""
    request = Request(url, body, {"Content-Type": kind})  # noqa: S310  # a URL of the lab
    with lab.hosts[host].inside():
        try:
            with urlopen(request, timeout=LIMIT) as answer:  # noqa: S310
                return int(answer.status)
        except HTTPError as error:
            return error.code


def send(lab: Lab, host: str, to: Endpoint, data: bytes, times: int = 1) -> None:
    """Send a datagram from a host."""
    with lab.hosts[host].inside(), socket.socket(to.family, socket.SOCK_DGRAM) as udp:
        for _ in range(times):
            udp.sendto(data, to)


async def converse(connection: Connection) -> None:
    """Be a service that hears its client at once, and answers."""
    await greet(connection)
    await connection.send("input_audio_buffer.speech_started")
    await connection.send("input_audio_buffer.speech_stopped")
    await connection.say(beep(2.0))


def draining(lab: Lab, *, on: bool) -> None:
    """Drain the transceiver, until signaling knows."""
    post(lab, RELAY, f"http://{CONTROL}/v1/drain", json.dumps({"draining": on}).encode())
    known = 'icelane_signaling_transceivers{state="with_room"} == ' + str(int(not on))
    until(lambda: query(lab, known), lambda: "signaling knows")


def use(lab: Lab) -> None:
    """Do once all that is counted."""
    with Call(lab, OBSERVED) as call:
        assert call.report()["ok"]
    assert post(lab, RELAY, f"http://{CONTROL}/v1/sessions", b"{}") == 400
    send(lab, RELAY, MEDIA, b"of no protocol")
    send(lab, CLIENT, VIP, b"of no protocol")
    draining(lab, on=True)
    assert post(lab, CLIENT, f"{SIGNALING_URL}/v1/realtime/calls", OFFER, "application/sdp") == 503
    draining(lab, on=False)
    time.sleep(2 * SCRAPED)  # a rate is of two scrapes


def start_relay(lab: Lab, setting: str, dataplane: str = "xdp") -> None:
    """Start the relay in the place of the one that ran, with a setting more."""
    lab.stop(RELAY_SERVICE)
    fires(lab, "IcelaneRelayDown")
    lab.unload()
    path = lab.directory / "relay.toml"
    kept = [
        line
        for line in path.read_text("utf-8").splitlines()
        if not line.startswith(("dataplane", "interface", "max-flows"))
    ]
    kept += [f'dataplane = "{dataplane}"', setting]
    if dataplane == "xdp":
        kept.append(f'interface = ["{PUBLIC}", "{INTERNAL}"]')
    path.write_text("\n".join(kept) + "\n", "utf-8")
    lab.start(RELAY_SERVICE)


async def test_every_expression_has_data(lab: Lab) -> None:
    async with service_in(lab) as service:
        service.script = converse
        await asyncio.to_thread(use, lab)
    empty = [where for where, expression in asked().items() if not query(lab, expression)]
    assert empty == []
    rules = [rule for group in ask(lab, "rules")["groups"] for rule in group["rules"]]
    assert [rule["name"] for rule in rules if rule["health"] != "ok"] == []
    unknown = [
        (rule["name"], each)
        for rule in rules
        for each in selectors(rule["query"])
        if not query(lab, each)
    ]
    assert unknown == []
    assert len(rules) == ALERTS.read_text("utf-8").count("- alert: ")


def test_turns_of_the_conversation_were_measured(lab: Lab) -> None:
    for name in ("backend_response", "conversation_turn"):
        (sample,) = query(lab, f"icelane_transceiver_{name}_seconds_count")
        assert float(sample["value"][1]) >= 1


def test_no_series_tells_of_a_client(lab: Lab) -> None:
    """Nor are there many, whatever was sent."""
    series = ask(lab, "series", **{"match[]": '{__name__=~"icelane_.*"}'})
    named = [each for each in series if CLIENT_ADDRESS in json.dumps(each)]
    assert named == []
    assert len(series) < MOST_SERIES


def test_alerts_fire_when_the_transceiver_has_gone(lab: Lab) -> None:
    lab.stop(TRANSCEIVER_SERVICE)
    try:
        fires(lab, "IcelaneTransceiverDown", "IcelaneTransceiverUnreachable", "IcelaneNoRoom")
        url = f"{SIGNALING_URL}/v1/realtime/calls"
        assert post(lab, CLIENT, url, OFFER, "application/sdp") == 503
        fires(lab, "IcelanePlacementsFail", "IcelaneSignalingErrors")
    finally:
        lab.start(TRANSCEIVER_SERVICE)
    until(lambda: "IcelaneTransceiverDown" not in firing(lab), lambda: firing(lab))


def test_alerts_fire_when_the_back_end_has_gone(lab: Lab) -> None:
    with Call(lab, 3.0) as call:
        fires(lab, "IcelaneBackendLost")
        call.hang_up()
        call.report()


def test_an_alert_fires_when_redis_has_gone(lab: Lab) -> None:
    lab.stop(REDIS_SERVICE)
    try:
        fires(lab, "IcelaneRedisAway")
        assert not firing(lab) & {"IcelaneRelayNotReady", "IcelaneRelayTaskFailing"}
    finally:
        lab.start(REDIS_SERVICE)


def test_alerts_fire_when_the_relay_is_drained_and_switched(lab: Lab) -> None:
    admin.ask(lab.admin, "drain", on=True)
    admin.ask(lab.admin, "switch", timeout=LIMIT, dataplane="userspace")
    fires(lab, "IcelaneRelayNotReady", "IcelaneDataplaneChanged")


def test_alerts_fire_when_the_table_is_full(lab: Lab) -> None:
    """The one flow that there may be is taken, and the next one refused."""
    start_relay(lab, "max-flows = 1")
    with Call(lab, LIMIT) as call:
        fires(lab, "IcelaneTableFilling")
        with Call(lab, 2.0) as refused:
            assert not refused.report()["ok"]
        fires(lab, "IcelaneRelayLosesPackets")
        call.hang_up()
        assert call.report()["ok"]


def test_alerts_fire_when_an_essential_task_has_ended(lab: Lab) -> None:
    start_relay(lab, "workers = 2", dataplane="userspace")
    until(lambda: not firing(lab) & {"IcelaneRelayDown"}, lambda: firing(lab))
    worker = admin.ask(lab.admin, "status")["workers"][0]
    keys = lab.directory / "keys.toml"
    away = keys.rename(keys.with_suffix(".away"))  # without them none is started again
    os.kill(worker["pid"], signal.SIGKILL)
    fires(lab, "IcelaneRelayTaskFailing", "IcelaneRelayNotReady")
    away.rename(keys)


def test_an_alert_fires_when_signaling_has_gone(lab: Lab) -> None:
    lab.stop(SIGNALING_SERVICE)
    fires(lab, "IcelaneSignalingDown")
