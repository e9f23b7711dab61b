"""A call's back end that is a service: between the call, the core and the connection."""

import logging
import secrets
import time
from collections.abc import Iterable
from typing import Any

from relay.supervision import Faults
from transceiver.backend import EVENTS_LABEL, Channel
from transceiver.bridge import events
from transceiver.bridge.core import Bridge, Command, ToClient
from transceiver.bridge.latency import Latencies, TurnClock
from transceiver.bridge.link import Connect, Link
from transceiver.bridge.outbox import Outbox
from transceiver.bridge.settings import SessionSettings
from transceiver.media.events import KeyPress

_log = logging.getLogger(__name__)

_MAX_CHANNELS = 16  # of events, of the client; how many look on, the call says


def new_id() -> str:
    """An id for an event of ours."""
    return f"event_{secrets.token_hex(12)}"


class ServiceBackend:
    """See `transceiver.backend.Backend`.

    Args:
        session_id: The call's, for the log.
        name: The service's, for errors.
        settings: What it is told of the session.
        connect: Connects to it.
        faults: Where it is noted what raises and should not.
        latencies: Where it is counted how long clients wait; nowhere without.
    """

    def __init__(
        self,
        session_id: str,
        name: str,
        settings: SessionSettings,
        connect: Connect,
        faults: Faults,
        *,
        latencies: Latencies | None = None,
    ) -> None:
        self._session_id = session_id
        self._name = name
        self._is_connected = False
        self._latencies = latencies or Latencies()
        self._bridge = Bridge(new_id, settings, TurnClock(self._latencies))
        # Of the client; the first one keeps what is said before its channel opens.
        self._clients = [Outbox(self._fitted, self._told_of_lost)]
        self._onlookers: list[Outbox] = []
        self._is_looked_on = False
        self._is_slow = False
        self._link = Link(connect, self, faults)

    # --- of the call ---

    def hear(self, frame: bytes) -> None:
        """See `Backend`."""
        text = self._bridge.hear(frame)
        before = self._link.uplink.left_out
        self._link.send_sound(text)
        is_slow = self._link.uplink.left_out > before
        if is_slow and not self._is_slow:
            self._complain(f"{self._name} takes sound too slowly: some of it is left out")
        self._is_slow = is_slow

    def speak(self) -> bytes | None:
        """See `Backend`."""
        frame, commands = self._bridge.speak(time.monotonic())
        self._do(commands)
        return frame

    def late(self, seconds: float) -> None:
        """See `Backend`."""
        self._bridge.delay = seconds

    def digit(self, press: KeyPress) -> None:
        """See `Backend`; the Realtime API has no event with which a client tells of keys."""

    def channel(self, channel: Channel) -> None:
        """See `Backend`; the client's first channel is the one of events, whatever its name."""
        self._clients = clients = _alive(self._clients)
        first = clients[0] if clients else None
        if first is not None and first.channel is None:
            first.opened(channel)
        elif (first is None or channel.label == EVENTS_LABEL) and len(clients) < _MAX_CHANNELS:
            clients.append(self._greeted(channel))

    def look_on(self, channel: Channel) -> None:
        """See `Backend`.

        Who comes before anybody was told of anything is told all of it, as the client will be; who
        comes later, perhaps again, does not see a second time what may have been acted on.
        """
        self._onlookers = _alive(self._onlookers)
        first = self._clients[0] if self._clients else None
        if self._is_looked_on or first is None or first.channel is not None:
            self._onlookers.append(self._greeted(channel))
        else:
            outbox = first.copy()
            outbox.opened(channel)
            self._onlookers.append(outbox)
        self._is_looked_on = True

    def _greeted(self, channel: Channel) -> Outbox:
        """The outbox of one that comes in the middle."""
        outbox = Outbox(self._fitted, self._told_of_lost)
        outbox.opened(channel)
        if self._bridge.created is not None:
            outbox.send(self._bridge.created)
        return outbox

    @property
    def _outboxes(self) -> list[Outbox]:
        return self._clients + self._onlookers

    def message(self, channel: Channel, message: str | bytes) -> None:
        """See `Backend`."""
        if any(each.channel is channel for each in self._outboxes):
            self._do(self._bridge.from_client(message, time.monotonic()))

    def error(self, channel: Channel | None, why: str) -> None:
        """See `Backend`."""
        text = events.error(new_id(), why, code="invalid_event", kind="invalid_request_error")
        for each in self._outboxes:
            if channel is None or channel is each.channel:
                each.send(text)

    def stats(self) -> dict[str, Any]:
        """See `Backend`."""
        return {
            "name": self._name,
            "connected": self._is_connected,
            "sound_events_left_out": self._link.uplink.left_out,
            **self._bridge.counts,
        }

    def close(self, *, kept: bool = False) -> None:
        """See `Backend`."""
        self._link.close(kept=kept)
        for each in self._outboxes:
            each.close()

    # --- of the service ---

    def connected(self) -> list[str]:
        """See `link.Listener`."""
        self._is_connected = True
        _log.info("session %s: connected to the back end %s", self._session_id, self._name)
        return [command.text for command in self._bridge.connected()]

    def greeted(self) -> list[str]:
        """See `link.Listener`."""
        return [command.text for command in self._bridge.catch_up(time.monotonic())]

    def received(self, message: str | bytes) -> None:
        """See `link.Listener`."""
        self._do(self._bridge.from_service(message, time.monotonic()))

    def lost(self, why: str) -> None:
        """See `link.Listener`."""
        self._is_connected = False
        self._latencies.lost += 1
        _log.warning("session %s: the back end %s: %s", self._session_id, self._name, why)
        self._do(self._bridge.lost(f"the back end {self._name}: {why}; it is tried again"))

    def taken(self) -> None:
        """See `link.Listener`."""
        self._is_connected = False
        _log.info("session %s: its back end's session goes on in another", self._session_id)
        why = "the conversation goes on in another call"
        self._tell(events.error(new_id(), why, code="goes_on_elsewhere", kind="server_error"))

    def _do(self, commands: Iterable[Command]) -> None:
        for command in commands:
            if isinstance(command, ToClient):
                self._tell(command.text)
            elif not self._link.send(command.text):
                self._complain(f"{self._name} takes events too slowly: one of yours is left out")

    def _complain(self, why: str) -> None:
        self._tell(events.error(new_id(), why, code="backend_slow", kind="server_error"))

    def _tell(self, text: str) -> None:
        for each in self._outboxes:
            each.send(text)

    @staticmethod
    def _fitted(text: str, longest: int) -> str:
        return events.fitted(text, longest, new_id)

    @staticmethod
    def _told_of_lost(count: int) -> str:
        why = f"{count} events are left out: this client takes them too slowly"
        return events.error(new_id(), why, code="client_slow", kind="server_error")


def _alive(outboxes: list[Outbox]) -> list[Outbox]:
    """Those whose channel is open, or will be; the others are closed."""
    alive = [each for each in outboxes if each.channel is None or each.channel.is_open]
    for each in outboxes:
        if each not in alive:
            each.close()
    return alive
