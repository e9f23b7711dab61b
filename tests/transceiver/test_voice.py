"""The audio of a call, between a real RTP path, a back end and a transport without a cipher."""

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import pytest

from relay.wire.endpoint import Endpoint
from tests.lab.tone import loudness, tone
from transceiver.backend import EchoBackend
from transceiver.clock import Datagram
from transceiver.media import rtp
from transceiver.media.audiopath import AudioPath
from transceiver.media.events import KeyPress
from transceiver.plan import AudioPlan, Codec, Format
from transceiver.voice import Voice

if TYPE_CHECKING:
    from transceiver.transport import Transport

CLIENT = Endpoint("192.0.2.9", 4000)
PLAN = AudioPlan(
    mid="0",
    transport=0,
    formats=(Format(Codec.OPUS, 111),),
    events={},
    extensions={},
    feedback=frozenset(),
    receive=True,
    send=True,
)


@dataclass
class Clear:
    """Stands for a transport whose cipher changes nothing."""

    is_connected: bool = True
    reachable: bool = True

    def protected(self, packet: bytes, _: float) -> tuple[bytes, Endpoint] | None:
        return (packet, CLIENT) if self.reachable else None

    protected_rtcp = protected


@dataclass
class Scene:
    """A voice, whose client says the packets of a tone."""

    backend: Any = field(default_factory=lambda: EchoBackend("rtc_x"))
    clear: Clear = field(default_factory=Clear)
    broke: list[tuple[str, Exception]] = field(default_factory=list)
    now: float = 100.0

    def __post_init__(self) -> None:
        path = AudioPath(PLAN, ssrc=7, cname="x", random=random.Random(1), now=self.now)
        told = lambda part, error: self.broke.append((part, error))  # noqa: E731
        self.path = path
        self.voice = Voice(path, cast("Transport", self.clear), self.backend, told)
        self._words = iter(range(1 << 16))
        self._tone = tone()

    def say(self) -> None:
        number = next(self._words)
        head = bytes((0x80, 111)) + number.to_bytes(2, "big") + (960 * number).to_bytes(4, "big")
        payload = self._tone[number % len(self._tone)]
        self.voice.receive_rtp(head + b"ssrc" + payload, self.now)

    def turn(self) -> list[Datagram]:
        out: list[Datagram] = []
        self.voice.tick(self.now, out)
        self.now += 0.02
        return out

    def talk(self, seconds: float) -> list[bytes]:
        """Let the client talk; the RTP packets that come back."""
        sent: list[Datagram] = []
        for _ in range(round(seconds / 0.02)):
            self.say()
            sent += self.turn()
        assert {where for _, where in sent} <= {CLIENT}
        return [packet for packet, _ in sent if not 192 <= packet[1] < 224]


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_an_echo_sounds_and_reports_go_along(scene: Scene) -> None:
    sent = scene.talk(3.0)
    assert len(sent) > 140
    assert min(loudness(sent[20:])) > 1000
    assert {rtp.parse(each).ssrc for each in sent} == {7}
    assert scene.voice.stats()["received"] == 150
    assert scene.voice.heard_at == pytest.approx(scene.now - 0.02)
    assert scene.broke == []


def test_before_the_client_says_something_its_back_end_hears_nothing(scene: Scene) -> None:
    for _ in range(50):
        scene.turn()
    assert scene.voice.heard_at is None
    assert scene.path.stats()["sent"] == 5  # silence, with which a stream begins


def test_when_the_first_packet_was_sent_is_noted(scene: Scene) -> None:
    scene.clear.reachable = False
    scene.turn()
    assert scene.voice.spoke_at is None
    scene.clear.reachable, first = True, scene.now
    scene.talk(1.0)
    assert scene.voice.spoke_at == pytest.approx(first)


def test_without_a_connection_there_are_no_turns(scene: Scene) -> None:
    scene.clear.is_connected = False
    assert scene.talk(0.5) == []
    assert scene.voice.goodbye(scene.now) is None


def test_without_consent_nothing_is_sent_and_all_goes_on(scene: Scene) -> None:
    scene.clear.reachable = False
    assert scene.talk(0.5) == []
    scene.clear.reachable = True
    assert len(scene.talk(0.5)) > 20


class Failing(EchoBackend):
    """Raises every other time that it hears something."""

    heard = 0

    def hear(self, frame: bytes) -> None:
        self.heard += 1
        if self.heard % 2:
            raise ZeroDivisionError
        super().hear(frame)


def test_what_a_back_end_raises_costs_its_frame() -> None:
    scene = Scene(backend=Failing("rtc_x"))
    sent = scene.talk(1.0)
    assert len(sent) == 50  # silence stands for every other one
    assert {part for part, _ in scene.broke} == {"back end"}
    assert len(scene.broke) == 25


@pytest.mark.parametrize("name", ["hear", "speak", "rtcp"])
def test_what_the_path_raises_costs_its_turn(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def breaks(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(AudioPath, name, breaks)
        assert scene.talk(0.1) == []
    assert [part for part, _ in scene.broke] == ["audio"] * 5
    assert len(scene.talk(0.5)) > 20


@pytest.mark.parametrize("name", ["receive_rtp", "receive_rtcp"])
def test_what_a_packet_raises_costs_the_packet(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def breaks(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(AudioPath, name, breaks)
        scene.say()
        assert scene.voice.receive_rtcp(b"\x80\xc9\x00\x01ssrc", scene.now) == []
    assert [part for part, _ in scene.broke] == ["audio"]
    assert len(scene.talk(0.5)) > 20


def test_keys_and_the_end(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    pressed: list[KeyPress] = []
    monkeypatch.setattr(scene.backend, "digit", pressed.append)
    scene.talk(0.1)
    scene.path._pressed.append(KeyPress("5", 0.1))
    scene.turn()
    assert pressed == [KeyPress("5", 0.1)]
    goodbye = scene.voice.goodbye(scene.now)
    assert goodbye is not None
    assert goodbye[1] == CLIENT
    assert 203 in {goodbye[0][1], *goodbye[0]}  # BYE, perhaps behind a report


def test_the_back_end_knows_how_late_it_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[float] = []
    monkeypatch.setattr(EchoBackend, "late", lambda _, seconds: told.append(seconds))
    scene = Scene()
    assert told == [scene.path.delay], "a guess, before the client has reported"
    scene.voice.receive_rtcp(b"\x80\xc9\x00\x01ssrc", scene.now)
    assert len(told) == 2


def test_a_back_end_that_raises_at_an_estimate_costs_the_estimate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def breaks(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(EchoBackend, "late", breaks)
    scene = Scene()
    assert [part for part, _ in scene.broke] == ["back end"]
    assert len(scene.talk(0.5)) > 20
