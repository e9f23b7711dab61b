"""A client in a lab: its process, its events, and signaling for it."""

import http.client
import json
import os
import select
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import IO, Any, Self
from urllib.parse import urlsplit

from relay.netns.host import Host
from signaling.callid import CALLS, split_call_id
from tests.lab.clients import NEGOTIATED
from tests.lab.clients.kinds import ROOT, Kind
from tests.lab.clients.stimulus import Stimulus
from tests.lab.config import CONTROL, SIGNALING_URL
from tests.lab.errors import LabError
from tests.lab.lab import Lab
from tests.lab.topology import CLIENT, TRANSCEIVER

_HTTP_SECONDS = 15.0
_CLOSE_SECONDS = 10.0
# Many call at once, and are the better part of what the machine has to do. Outside of a lab they
# have processors of their own: here they leave relay and transceiver theirs.
_NICE = "5"
#: Longer than clients take to find their addresses: a browser then checks from the new ones with
#: the server's old credentials before it learns the new ones.
RENEGOTIATION_SECONDS = 0.3
Event = dict[str, Any]


class Client:
    """A client that calls while entered.

    Args:
        lab: The lab that it is in.
        kind: What it is.
        stimulus: What it says.
        environment: What its environment has besides.

    Attributes:
        kind: What it is.
        events: What it has told so far, and what was done for it: ``posted`` when its offer was
            sent to signaling, ``answer`` when the answer came.
        server_ufrags: The ICE user names that it was given, oldest first.
        client_ufrags: Those that it offered, oldest first.
    """

    def __init__(
        self,
        lab: Lab,
        kind: Kind,
        stimulus: Stimulus,
        environment: dict[str, str] | None = None,
    ) -> None:
        self.kind = kind
        self.events: list[Event] = []
        self.server_ufrags: list[str] = []
        self.client_ufrags: list[str] = []
        self._lab = lab
        self._command = kind.command(stimulus)
        self._environment = os.environ | (environment or {})
        self._changed = threading.Condition()
        self._giving = threading.Lock()
        self._location: str | None = None
        # A page has a connection to where it came from before it calls.
        self._signaling = _connection(SIGNALING_URL)

    def __enter__(self) -> Self:
        """Start it; it offers at once, and is answered."""
        with self._lab.hosts[CLIENT].inside():
            self._signaling.connect()
        self._errors: IO[bytes] = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            ["nice", "-n", _NICE, *self._lab.hosts[CLIENT].command(self._command)],
            cwd=ROOT,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            start_new_session=True,  # so that a browser ends with its program
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End it, whether it has hung up or not."""
        with suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        try:
            self._process.wait(_CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._reader.join(_CLOSE_SECONDS)
        self._signaling.close()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._errors.close()

    def command(self, name: str, **content: Any) -> None:
        """Tell it to do something.

        Raises:
            LabError: It has ended.
        """
        if self._process.stdin is None or self._process.poll() is not None:
            raise LabError(self._why_it_ended())
        try:
            with self._giving:  # answers come from another thread than other commands
                self._process.stdin.write(json.dumps({"command": name, **content}) + "\n")
                self._process.stdin.flush()
        except (OSError, ValueError):  # its end is closed, or ours is
            raise LabError(self._why_it_ended()) from None

    def wait(
        self, what: Callable[[Event], bool], seconds: float, *, since: int = 0, told: str = ""
    ) -> Event:
        """The first event that is wanted.

        Args:
            what: Whether an event is.
            seconds: A limit.
            since: The number of events that do not count.
            told: What one waits for, in words.

        Raises:
            LabError: There is none in time, it has told of an error, or has ended.
        """
        deadline = time.monotonic() + seconds
        with self._changed:
            while True:
                for event in self.events[since:]:
                    if what(event):
                        return event
                    if event["event"] in {"error", "unsupported"}:
                        raise LabError(str(event["text"]))
                if not self._reader.is_alive():
                    raise LabError(self._why_it_ended())
                rest = deadline - time.monotonic()
                if rest <= 0:
                    raise LabError(f"no {told or 'such event'} within {seconds:.0f} s")
                self._changed.wait(min(rest, 0.2))

    @property
    def session(self) -> str:
        """The id of its session at the transceiver; empty when it has none."""
        call = split_call_id((self._location or "").rpartition("/")[2])
        return call[1] if call is not None else ""

    def stats(self, seconds: float = 5.0) -> Event:
        """Its statistics; see `tests.lab.clients`."""
        since = len(self.events)
        self.command("stats")
        return self.wait(
            lambda event: event["event"] == "stats", seconds, since=since, told="statistics"
        )

    def hang_up(self) -> None:
        """Hang up at signaling, then close it.

        Raises:
            LabError: Signaling refuses, or it does not close.
        """
        if self._location is None:
            raise LabError("the call was never placed")
        with _from(self._lab.hosts[CLIENT], SIGNALING_URL) as connection:
            _post(connection, f"{self._location}/hangup", b"", "application/json", 200)
        since = len(self.events)
        self.command("hangup")
        self.wait(lambda event: event["event"] == "closed", _CLOSE_SECONDS, since=since, told="end")

    def _read(self) -> None:
        for line in self._process.stdout or ():
            event = json.loads(line)
            self._note(event)
            if event["event"] == "offer":
                self._signal(event["sdp"])
        with self._changed:
            self._changed.notify_all()

    def _note(self, event: Event) -> None:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    def _signal(self, offer: str) -> None:
        """Have an offer answered, and hand the answer over."""
        self.client_ufrags += _ufrags(offer)
        self._note({"event": "posted", "at": time.time() * 1000})
        try:
            answer = self._place(offer) if self._location is None else self._renegotiate(offer)
        except (LabError, OSError, http.client.HTTPException) as error:
            self._note({"event": "error", "at": time.time() * 1000, "text": str(error)})
            return
        self.server_ufrags += _ufrags(answer)
        self._note({"event": "answer", "at": time.time() * 1000, "sdp": answer})
        with suppress(LabError):  # it has ended, which whoever waits for it is told
            self.command("answer", sdp=answer)

    def _place(self, offer: str) -> str:
        stream = self._environment.get(NEGOTIATED)
        path = CALLS if stream is None else f"{CALLS}?dcid={stream}"
        if select.select([self._signaling.sock], [], [], 0)[0]:
            # Signaling has closed it, as it waited for long: a browser connects anew, too.
            self._signaling.close()
            with self._lab.hosts[CLIENT].inside():
                self._signaling.connect()
        response, body = _post(self._signaling, path, offer.encode(), "application/sdp", 201)
        self._location = response.getheader("Location")
        return body

    def _renegotiate(self, offer: str) -> str:
        """Signaling has no route for a second offer, the transceiver's control API has.

        The answer takes a while, as on its way through a network.
        """
        time.sleep(RENEGOTIATION_SECONDS)
        path = f"/v1/sessions/{self.session}/offer"
        body = json.dumps({"sdp": offer}).encode()
        with _from(self._lab.hosts[TRANSCEIVER], f"http://{CONTROL}") as connection:
            _, answer = _post(connection, path, body, "application/json", 200)
        sdp = json.loads(answer)["sdp"]
        return str(sdp)

    def _why_it_ended(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return f"{self.kind.name} has ended: {lines[-1] if lines else 'it printed nothing'}"


def _ufrags(sdp: str) -> list[str]:
    """The ICE user names in a description, each once."""
    lines = (line for line in sdp.splitlines() if line.startswith("a=ice-ufrag:"))
    return list(dict.fromkeys(line.partition(":")[2] for line in lines))


def _connection(url: str) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(urlsplit(url).netloc, timeout=_HTTP_SECONDS)


@contextmanager
def _from(host: Host, url: str) -> Iterator[http.client.HTTPConnection]:
    """An HTTP connection from a host."""
    connection = _connection(url)
    with host.inside():
        connection.connect()
    with closing(connection):
        yield connection


def _post(
    connection: http.client.HTTPConnection, path: str, body: bytes, content_type: str, wanted: int
) -> tuple[http.client.HTTPResponse, str]:
    connection.request("POST", path, body, {"Content-Type": content_type})
    response = connection.getresponse()
    text = response.read().decode(errors="replace")
    if response.status != wanted:
        raise LabError(f"the server answered {response.status}: {text[:300]}")
    return response, text
