"""What passes between a client and a Realtime service, and what is added on the way; free of IO.

The data channel is the service's WebSocket without its sound. Events pass in order, as they came.
Sound is taken out and played at pace; of that the client is told by `output_audio_buffer` events.
When the client begins to speak, what it has not heard is dropped here, and cut off there.
"""

from collections import Counter
from typing import Any, NamedTuple

from relay.jsontext import as_json
from transceiver.bridge import events
from transceiver.bridge.blame import KINDS, Blame
from transceiver.bridge.events import Event, NewId
from transceiver.bridge.history import OF_ITEMS, History
from transceiver.bridge.latency import Latencies, TurnClock
from transceiver.bridge.playout import Cut, Playout
from transceiver.bridge.responses import Responses
from transceiver.bridge.settings import SessionSettings

_SPEECH_STARTED = "input_audio_buffer.speech_started"
_SPEECH_STOPPED = "input_audio_buffer.speech_stopped"
_CLEAR = "output_audio_buffer.clear"
_OUTPUT_BUFFER = "output_audio_buffer."
_CLIENTS, _OURS = "invalid_request_error", "server_error"


class ToClient(NamedTuple):
    """Send an event to the client."""

    text: str


class ToService(NamedTuple):
    """Send an event to the service."""

    text: str


Command = ToClient | ToService


class Bridge:
    """A session between a client and a service.

    Args:
        new_id: Makes ids of events.
        settings: What the service is told of the session, whenever it is connected.
        turns: Measures how long the client waits; nobody does without.

    Attributes:
        delay: Seconds from when something is played here to when the client hears it.
        created: The last `session.created` of the service; None before the first.
        counts: What was dropped, by reason.
    """

    def __init__(
        self, new_id: NewId, settings: SessionSettings, turns: TurnClock | None = None
    ) -> None:
        self.delay = 0.0
        self.created: str | None = None
        self.counts: Counter[str] = Counter()
        self._new_id = new_id
        self._settings = settings
        self._turns = turns or TurnClock(Latencies())
        self._playout = Playout()
        self._responses = Responses()
        self._blame = Blame()
        self._interrupts: bool | None = None
        self._sounding: str | None = None  # the response of which the client was told that it plays
        self._is_full = False
        self._shortened: dict[str, None] = {}  # items that were cut off already
        self._history = History()
        self._session_id = ""
        self._goes_on = True  # whether the service has the session that it had
        self._told_again: set[tuple[str, str]] = set()  # events of which the client knows

    # --- the service ---

    def connected(self) -> list[Command]:
        """The service is connected, for the first time or again."""
        self._goes_on = False
        self._told_again.clear()
        session = self._settings.all()
        if session is None:
            return []
        mine = self._new_id()
        session = events.with_pcm(session) or session
        self._settings.ask(mine, {})
        return [ToService(events.write("session.update", event_id=mine, session=session))]

    def catch_up(self, now: float) -> list[Command]:
        """The service has greeted, again: tell it what was said, unless it knows."""
        if self._goes_on:
            return []
        commands: list[Command] = []
        for item in self._history.told():
            commands.append(self._send(now, events.CREATE, item=item))
            self._told_again |= {(kind, item["id"]) for kind in OF_ITEMS}
        self.counts["items_told_again"] += len(commands)
        return commands

    def lost(self, why: str) -> list[Command]:
        """The connection to the service ended, or could not be made: so does the turn.

        Args:
            why: In words for the client's developer.
        """
        fault = {"type": _OURS, "code": "backend_lost", "message": why}
        commands: list[Command] = [
            ToClient(events.error(self._new_id(), why, code="backend_lost", kind=_OURS))
        ]
        for response in self._responses.fail_all():
            self._playout.end(response["id"])
            failed = response | {
                "object": "realtime.response",
                "status": "failed",
                "status_details": {"type": "failed", "error": fault},
                "output": [],
            }
            done = events.write("response.done", event_id=self._new_id(), response=failed)
            commands.append(ToClient(done))
        return commands

    def from_service(self, text: str | bytes, now: float) -> list[Command]:
        """A message of the service."""
        event = events.read(text)
        if event is None:
            self.counts["service_sent_no_event"] += 1
            return []
        if event.kind in events.AUDIO_DELTAS:
            return self._play(event, now)
        if event.kind.startswith(_OUTPUT_BUFFER):
            self.counts["service_spoke_of_playing"] += 1  # only we know of that
            return []
        if event.kind == "error" and self._is_swallowed(event, now):
            return []
        told_of = event.kind, events.word(event.part("item"), "id")
        if told_of in self._told_again:
            self._told_again.remove(told_of)
            return []
        self._history.follow(event)
        told = events.mended(event, self._new_id)
        return [ToClient(told), *self._follow(event, told, now)]

    def _follow(self, event: Event, told: str, now: float) -> list[Command]:
        """What an event means for what is played here."""
        if event.kind == _SPEECH_STARTED:
            self._turns.began_to_speak()
        match event.kind:
            case "session.created" | "session.updated":
                self._take_session(event, told)
            case "response.created":
                self._responses.created(event)
                self._turns.response_began(now)
            case kind if kind == _SPEECH_STOPPED:
                self._turns.stopped_speaking(now)
            case "response.done":
                return self._done(event, now)
            case kind if kind in events.AUDIO_DONE:
                response = event.word("response_id") or self._responses.current
                self._playout.end(response, events.placed(event.body, b"")[1:3])
            case kind if kind == _SPEECH_STARTED and self._interrupts is not False:
                return self._interrupt(now)
        return []

    def _take_session(self, event: Event, told: str) -> None:
        self._interrupts = events.interrupts(event.part("session"))
        if event.kind == "session.created":
            session_id = events.word(event.part("session"), "id")
            self._goes_on = session_id != "" and session_id == self._session_id
            self._session_id = session_id
            self.created = told
        else:
            self._settings.confirm()

    def _done(self, event: Event, now: float) -> list[Command]:
        response = self._responses.done(event)
        self.counts["responses"] += 1
        self._playout.end(response)
        details = events.part(event.part("response"), "status_details")
        if events.word(details, "reason") == "turn_detected" and self._playout.waits_for(response):
            return self._flush(now)  # some say so before they say that speech has started
        return []

    def _is_swallowed(self, event: Event, now: float) -> bool:
        fault = events.fault_of(event)
        self._settings.refuse(fault)
        ours = self._blame.is_ours(fault, now)
        self.counts["errors_of_our_events"] += ours
        return ours

    def _play(self, event: Event, now: float) -> list[Command]:
        """Take sound, unless it is of a response that was cut off, or far too much waits."""
        sound = events.sound_of(event)
        if sound is None:
            self.counts["sound_not_base64"] += 1
            return []
        sound = sound._replace(response=sound.response or self._responses.current)
        if self._responses.is_cut(sound.response) or sound.item in self._shortened:
            self.counts["sound_of_cut_responses"] += 1
            return []
        self._responses.sounds(sound.response)
        self._turns.sound_came(now)
        self._history.sounded(sound.item, len(sound.pcm))
        was_full, self._is_full = self._is_full, self._playout.is_full
        if not self._is_full:
            self._playout.add(sound)
            return []
        self.counts["sound_without_room"] += 1
        if was_full:
            return []
        why = "the back end is minutes ahead of what is played: its sound is left out until then"
        return [ToClient(events.error(self._new_id(), why, code="backend_fast", kind=_OURS))]

    # --- turns ---

    def _interrupt(self, now: float) -> list[Command]:
        """The client speaks: be silent, and have the service end what it has not ended itself."""
        running = self._responses.to_interrupt
        self.counts["interruptions"] += bool(running or self._sounding)
        commands: list[Command] = []
        if running and self._interrupts is None:
            commands.append(self._send(now, events.CANCEL))
        for response in running:
            self._responses.cut(response)
        return [*commands, *self._flush(now)]

    def _flush(self, now: float) -> list[Command]:
        """Drop what is not heard; the service's items end where the client stopped hearing."""
        commands: list[Command] = []
        if self._sounding is not None:
            commands.append(self._tell_buffer("cleared", self._sounding))
            self._sounding = None
        for cut in self._playout.cut(self.delay):
            self._responses.cut(cut.response)
            if cut.item and cut.item not in self._shortened:
                commands.append(self._shorten(cut, now))
        return commands

    def _shorten(self, cut: Cut, now: float) -> Command:
        self._remember_short(cut.item)
        if not cut.heard:
            return self._send(now, events.DELETE, item_id=cut.item)
        return self._send(
            now,
            events.TRUNCATE,
            item_id=cut.item,
            content_index=cut.content,
            audio_end_ms=cut.heard,
        )

    def _remember_short(self, item: str) -> None:
        if item:
            self._shortened[item] = None
        if len(self._shortened) > 64:
            del self._shortened[next(iter(self._shortened))]

    def _send(self, now: float, kind: str, **content: Any) -> ToService:
        """An event of ours, whose errors the client is not told."""
        mine = self._new_id()
        self._blame.sent(kind, mine, ours=True, now=now)
        return ToService(events.write(kind, event_id=mine, **content))

    def _tell_buffer(self, what: str, response: str) -> ToClient:
        kind = _OUTPUT_BUFFER + what
        return ToClient(events.write(kind, event_id=self._new_id(), response_id=response))

    # --- the client ---

    def from_client(self, message: str | bytes, now: float) -> list[Command]:
        """A message of the client."""
        event = events.read(message)
        if event is None or isinstance(message, bytes) or not event.word("type"):
            binary = isinstance(message, bytes)
            what = (
                "an event is text, not binary" if binary else "this is no event: JSON with `type`"
            )
            code = "invalid_event" if binary else "invalid_json"
            return [ToClient(events.error(self._new_id(), what, code=code, kind=_CLIENTS))]
        if event.kind == _CLEAR:
            return self._clear(now)
        if event.kind in KINDS:
            self._blame.sent(event.kind, event.word("event_id"), ours=False, now=now)
        match event.kind:
            case "session.update":
                event = _with_pcm(event, "session")
                self._settings.ask(event.word("event_id"), event.part("session"))
            case "response.create":
                event = _with_pcm(event, "response")
            case events.CANCEL:
                named = event.word("response_id")
                for response in [named] if named else self._responses.to_interrupt:
                    self._responses.cut(response)
            case events.TRUNCATE | events.DELETE:
                self._remember_short(event.word("item_id"))
        return [ToService(event.text)]

    def _clear(self, now: float) -> list[Command]:
        """The client wants silence; it is answered also where there is nothing to be heard."""
        sounded = self._sounding
        commands = self._flush(now)
        if sounded is None:
            commands.insert(0, self._tell_buffer("cleared", self._responses.last))
        return commands

    # --- sound ---

    def hear(self, frame: bytes) -> str:
        """Take 20 ms of the client's sound; returns the event that sends it.

        Longer events would cost less (`python -m tests.bench turn --appends`), and come later.
        """
        return events.append(frame)

    def speak(self, now: float) -> tuple[bytes | None, list[Command]]:
        """The next 20 ms of what the client is to hear, and what it is told of that."""
        pulled = self._playout.pull()
        commands: list[Command] = []
        before = self._sounding
        if pulled is not None:
            frame, response = pulled
            if response != before:
                if before is not None:
                    commands.append(self._tell_buffer("stopped", before))
                commands.append(self._tell_buffer("started", response))
                self._sounding = response
                self._turns.played(now)
            return frame, commands
        if before is not None and not self._sounds_on(before):
            commands.append(self._tell_buffer("stopped", before))
            self._sounding = None
        return None, commands

    def _sounds_on(self, response: str) -> bool:
        return response in self._responses.active or self._playout.waits_for(response)


def _with_pcm(event: Event, name: str) -> Event:
    """An event whose object of that name asks for PCM, if for any sound."""
    changed = events.with_pcm(event.part(name))
    if changed is None:
        return event
    body = event.body | {name: changed}
    return Event(event.kind, body, as_json(body))
