"""The call client against a real transceiver, also through a network that loses packets."""

import array
import asyncio
import itertools
import os
import socket
import wave
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest
from yarl import URL

from relay.caller.audio import FRAME_SECONDS, read_audio
from relay.caller.call import SPEECH, CallPlan, place_call
from relay.caller.errors import CallError, Failure
from relay.caller.report import Report
from relay.wire.demux import Kind, classify
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.route import Target
from signaling.callid import CALLS
from signaling.server import SignalingServer
from transceiver.backend import EchoBackend, Wanted
from transceiver.bridge.table import Service, Table
from transceiver.server import Transceiver, TransceiverConfig


def ignore(_: str, __: Report) -> None:
    """Take progress and do nothing."""


async def call(
    url: str,
    *,
    seconds: float = 1.0,
    stopped: asyncio.Event | None = None,
    progress: Callable[[str, Report], None] = ignore,
    record: Path | None = None,
) -> Report:
    plan = CallPlan(URL(url), seconds, record=record)
    placed = place_call(plan, stopped=stopped or asyncio.Event(), progress=progress)
    return await asyncio.wait_for(placed, 30)


@dataclass
class ImpairedLink:
    """One direction of a network that impairs RTP packets, which it counts from 0.

    Attributes:
        lose: Packets that do not arrive.
        repeat: Packets that arrive twice.
        hold: Packets that arrive after the next one.
        seconds: How long every packet takes, RTP or not.
    """

    lose: set[int] = field(default_factory=set)
    repeat: set[int] = field(default_factory=set)
    hold: set[int] = field(default_factory=set)
    seconds: float = 0.0
    _number: int = -1
    _held: list[bytes] = field(default_factory=list)

    def carry(self, data: bytes, send: Callable[[bytes], object]) -> None:
        for each in self._that_arrive(data):
            if self.seconds:
                asyncio.get_running_loop().call_later(self.seconds, send, each)
            else:
                send(each)

    def _that_arrive(self, data: bytes) -> list[bytes]:
        if classify(data) is not Kind.RTP or 64 <= data[1] & 0x7F < 96:
            return [data]
        self._number += 1
        held, self._held = self._held, []
        if self._number in self.lose:
            return held
        if self._number in self.hold:
            self._held = [data]
            return held
        return [data] * (2 if self._number in self.repeat else 1) + held


class Network:
    """A NAT before a transceiver, over real sockets."""

    def __init__(self, inside: Endpoint, to_server: ImpairedLink, to_client: ImpairedLink) -> None:
        self._inside = inside
        self._to_server, self._to_client = to_server, to_client
        self._outside = self._socket(self._from_client)
        self._clients: dict[Any, socket.socket] = {}

    @property
    def address(self) -> Endpoint:
        return Endpoint.of(self._outside.getsockname())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        for each in (self._outside, *self._clients.values()):
            asyncio.get_running_loop().remove_reader(each)
            each.close()

    def _socket(self, read: Callable[[socket.socket], None]) -> socket.socket:
        created = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        created.bind(("127.0.0.1", 0))
        created.setblocking(False)
        asyncio.get_running_loop().add_reader(created, read, created)
        return created

    def _from_client(self, outside: socket.socket) -> None:
        data, client = outside.recvfrom(2048)
        if client not in self._clients:

            def back(upstream: socket.socket) -> None:
                self._to_client.carry(upstream.recv(2048), lambda each: send(outside, each, client))

            self._clients[client] = self._socket(back)
        upstream = self._clients[client]
        self._to_server.carry(data, lambda each: send(upstream, each, self._inside))


def send(sock: socket.socket, data: bytes, to: Any) -> None:
    if sock.fileno() >= 0:  # what is under way when the network closes is lost
        sock.sendto(data, to)


async def test_a_good_call_is_accounted_for(
    real_server: SignalingServer, transceiver: Transceiver, tmp_path: Path
) -> None:
    steps: list[str] = []
    record = tmp_path / "out.wav"
    report = await call(
        real_server.url, seconds=1.5, record=record, progress=lambda step, _: steps.append(step)
    )
    assert report.error is None
    assert report.url == real_server.url + CALLS
    assert report.call_id is not None
    assert report.call_id.startswith("rtc_1-5-9-")
    assert report.remote == str(transceiver.address)
    assert report.seconds >= 1.5
    assert report.sent > 10

    assert report.received.packets > report.sent * 0.8
    assert (report.received.lost, report.received.duplicates, report.received.reordered) == (0,) * 3
    assert (report.lost_to_server, report.lost_to_client) == (0, 0)
    assert (report.far_end.rtcp_lost, report.far_end.rtcp_final) == (0, True)
    assert report.received.energy > 1e-4
    assert report.received.seconds > report.received.packets * FRAME_SECONDS * 0.6
    with wave.open(str(record)) as file:
        assert file.getnframes() / 48000 == pytest.approx(report.received.seconds, abs=0.01)

    setup = report.setup_ms
    times = [setup.offer, setup.answer, setup.ice, setup.dtls, setup.first_audio]
    assert None not in times
    assert times == sorted(times, key=lambda each: each or 0)
    assert setup.data_channel is not None
    assert report.round_trip_ms.data_channel is not None
    assert report.round_trip_ms.data_channel > 0
    assert steps[:2] == ["answer", "connected"]
    assert steps[2:-1] == ["talking"] * len(steps[2:-1])
    assert steps[-1] == "settling"
    assert len(transceiver.calls) == 0  # it hung up


async def test_losses_are_counted_exactly_at_both_ends(
    serve: Any, transceiver: Transceiver
) -> None:
    to_server = ImpairedLink(lose={3, 4, 12})
    to_client = ImpairedLink(lose={6}, repeat={8}, hold={10})
    control = (transceiver.config.target, f"http://{transceiver.control}")
    with Network(transceiver.address, to_server, to_client) as network:
        async with serve(control, advertise=network.address) as server:
            report = await call(server.url, seconds=1.5)
        assert report.remote == str(network.address)
    assert report.error is None
    assert report.lost_to_server == 3
    assert report.far_end.lost == 3
    assert (report.far_end.rtcp_lost, report.far_end.rtcp_final) == (3, True)
    assert report.lost_to_client == 1
    received = report.received
    assert (received.lost, received.duplicates, received.reordered) == (1, 1, 1)
    assert received.longest_loss == 1


async def test_a_loss_at_the_very_end_leaves_no_gap_and_is_counted_all_the_same(
    serve: Any, transceiver: Transceiver
) -> None:
    control = (transceiver.config.target, f"http://{transceiver.control}")
    to_server = ImpairedLink(lose=set(range(10, 1000)))
    with Network(transceiver.address, to_server, ImpairedLink()) as network:
        async with serve(control, advertise=network.address) as server:
            report = await call(server.url, seconds=1)
    assert report.sent > 10
    assert report.lost_to_server == report.sent - 10
    assert report.far_end.lost == 0
    assert not report.far_end.rtcp_final


class Talker(EchoBackend):
    """Says something all the time, whether it is spoken to or not."""

    def __init__(self, session_id: str, wanted: Wanted) -> None:
        super().__init__(session_id, wanted)
        # Every other sample, as a call has 24 kHz inside: how it sounds does not matter here.
        frames = [array.array("h", frame)[::2].tobytes() for frame in read_audio(SPEECH, longest=5)]
        self._said = itertools.cycle(frames)

    def speak(self) -> bytes:
        return next(self._said)


async def test_what_is_under_way_at_the_end_is_no_loss(serve: Any) -> None:
    keys = KeyRing.generate(os.urandom)
    target, anywhere = Target(1, 5, 9), Endpoint("127.0.0.1", 0)
    table = Table((Service("talker", None, local=Talker),))
    config = TransceiverConfig(anywhere, anywhere, target, keys, table=table)
    async with Transceiver(config) as talking:
        with Network(talking.address, ImpairedLink(), ImpairedLink(seconds=0.1)) as network:
            async with serve(
                (target, f"http://{talking.control}"), advertise=network.address
            ) as server:
                report = await call(server.url)
    assert report.error is None
    assert report.received.packets > 10
    assert (report.lost_to_server, report.lost_to_client) == (0, 0)
    # The greeting that the server sends unasked comes without a round trip.
    assert report.round_trip_ms.data_channel is not None
    assert report.round_trip_ms.data_channel >= 100


async def test_silence_that_comes_back_for_speech_is_a_failure(
    serve: Any, transceiver: Transceiver
) -> None:
    control = (transceiver.config.target, f"http://{transceiver.control}")
    with Network(
        transceiver.address, ImpairedLink(), ImpairedLink(lose=set(range(10_000)))
    ) as network:
        async with serve(control, advertise=network.address) as server:
            report = await call(server.url)
    assert report.error == {"code": Failure.NO_AUDIO, "message": "no audio packet came back"}
    assert report.lost_to_client == report.far_end.sent


async def test_no_way_for_udp_is_an_ice_failure(
    serve: Any, transceiver: Transceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.caller.call._CONNECT_TIMEOUT", 0.5)
    control = (transceiver.config.target, f"http://{transceiver.control}")
    async with serve(control, advertise=Endpoint("127.0.0.1", 9)) as server:
        report = await call(server.url)
    assert report.error == {
        "code": Failure.ICE_FAILED,
        "message": "ICE failed: no answer from 127.0.0.1:9 over UDP",
    }
    assert len(transceiver.calls) == 0  # it hung up nevertheless


async def test_a_refused_call_tells_why(real_server: SignalingServer) -> None:
    report = await call(real_server.url + "/elsewhere")
    assert report.error is not None
    assert report.error["code"] == Failure.SIGNALING_REFUSED
    assert "answered 404: There is nothing at /elsewhere" in str(report.error["message"])


async def test_nobody_at_the_url(unused_tcp_port: int) -> None:
    report = await call(f"http://127.0.0.1:{unused_tcp_port}")
    assert report.error is not None
    assert report.error["code"] == Failure.SIGNALING_UNREACHABLE
    assert str(report.error["message"]).endswith("Connection refused")


async def test_a_call_that_is_stopped_ends_well(
    real_server: SignalingServer, transceiver: Transceiver
) -> None:
    stopped = asyncio.Event()

    def stop_soon(step: str, report: Report) -> None:
        if step == "talking" and report.seconds > 0.4:
            stopped.set()

    report = await call(real_server.url, seconds=60, stopped=stopped, progress=stop_soon)
    assert report.error is None
    assert report.interrupted
    assert report.seconds < 5
    assert (report.lost_to_server, report.lost_to_client) == (0, 0)
    assert len(transceiver.calls) == 0


async def test_a_call_that_is_stopped_early_is_hung_up(
    real_server: SignalingServer, transceiver: Transceiver
) -> None:
    stopped = asyncio.Event()
    report = await call(real_server.url, stopped=stopped, progress=lambda *_: stopped.set())
    assert report.error is not None
    assert report.error["code"] == Failure.INTERRUPTED
    assert len(transceiver.calls) == 0


async def test_a_call_that_the_other_side_ends_is_a_failure(
    real_server: SignalingServer, transceiver: Transceiver
) -> None:
    ending: list[str] = []

    def end(step: str, report: Report) -> None:
        if step == "talking" and report.received.packets and not ending:
            ending.append(next(iter(transceiver.calls)).id)
            transceiver.calls.end(ending[0])

    report = await call(real_server.url, seconds=20, progress=end)
    assert report.error is not None
    assert report.error["code"] == Failure.ENDED_EARLY
    assert "ended the call after" in str(report.error["message"])


async def test_bad_files_are_found_before_the_call(
    real_server: SignalingServer, transceiver: Transceiver, tmp_path: Path
) -> None:
    wrong: list[dict[str, Any]] = [
        {"audio": tmp_path / "none.wav"},
        {"record": tmp_path / "none" / "out.wav"},
    ]
    for files in wrong:
        plan = CallPlan(URL(real_server.url), 1.0, **files)
        with pytest.raises(CallError) as caught:
            await place_call(plan, stopped=asyncio.Event(), progress=ignore)
        assert caught.value.failure is Failure.BAD_INPUT
    assert len(transceiver.calls) == 0
