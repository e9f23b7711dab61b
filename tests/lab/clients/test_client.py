"""A client's process, with one that is made for the test."""

import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from relay.netns.host import Host
from tests.lab.clients.client import Client
from tests.lab.clients.kinds import Kind
from tests.lab.clients.stage import until
from tests.lab.clients.stimulus import Stimulus
from tests.lab.config import SIGNALING_ENDPOINT
from tests.lab.errors import LabError
from tests.lab.lab import Lab
from tests.lab.process import BackgroundProcess
from tests.lab.topology import TRANSCEIVER

pytestmark = pytest.mark.netns

FILES = Stimulus(Path("tones.wav"), Path("tones.txt"))
SERVER = f"""
    import http.server
    class Calls(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        def do_POST(self):
            offer = self.rfile.read(int(self.headers["Content-Length"])).decode()
            good = offer == "good"
            body = b"a=ice-ufrag:server\\r\\n" if good else b"no"
            self.send_response(201 if good else 400)
            self.send_header("Location", "/v1/realtime/calls/rtc_1-1-1-abc")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
    server = http.server.HTTPServer(("{SIGNALING_ENDPOINT.host}", 8080), Calls)
    print("ready", flush=True)
    server.serve_forever()
"""
PROGRAM = """
    import json, sys
    def emit(event, **content):
        print(json.dumps({{"event": event, "at": 1.0, **content}}), flush=True)
    emit("offer", sdp="{offer}")
    for line in sys.stdin:
        command = json.loads(line)
        emit("message", channel="echo", text=command["command"])
        if command["command"] == "break": sys.exit("it broke")
"""


@pytest.fixture
def lab(network: dict[str, Host], network_name: str) -> Iterator[Lab]:
    """A lab of which only the network is there, and a server where signaling would be."""
    made = Lab(network_name)
    command = [sys.executable, "-c", textwrap.dedent(SERVER)]
    with BackgroundProcess(network[TRANSCEIVER].command(command)) as server:
        deadline = time.time() + 30
        until(lambda: "ready" in server.output(), deadline, "server")
        yield made


def client(lab: Lab, offer: str = "good") -> Client:
    program = textwrap.dedent(PROGRAM.format(offer=offer))
    return Client(lab, Kind("test", lambda _: [sys.executable, "-c", program], (), str), FILES)


def named(name: str) -> Any:
    return lambda event: event["event"] == name


def test_an_offer_is_answered_and_the_answer_handed_over(lab: Lab) -> None:
    with client(lab) as one:
        assert one.wait(named("answer"), 10)["sdp"] == "a=ice-ufrag:server\r\n"
        assert one.wait(named("message"), 10)["text"] == "answer"
        assert one.server_ufrags == ["server"]
        assert one.session == "rtc_abc"


def test_a_refused_offer_is_told_to_whoever_waits(lab: Lab) -> None:
    with client(lab, "bad") as one, pytest.raises(LabError, match="answered 400: no"):
        one.wait(named("answer"), 10)


def test_what_does_not_come_is_named(lab: Lab) -> None:
    with client(lab) as one, pytest.raises(LabError, match="no music within 0 s"):
        one.wait(named("music"), 0.1, told="music")


def test_a_client_that_breaks_says_why(lab: Lab) -> None:
    with client(lab) as one:
        one.wait(named("message"), 10)
        one.command("break")
        with pytest.raises(LabError, match="test has ended: it broke"):
            one.wait(named("music"), 10)
