"""`icelane call`: place a call, send audio for a while, and account for every packet."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from aiortc.mediastreams import MediaStreamTrack
from yarl import URL

from relay.caller.audio import AudioSink, PacedTrack, WavRecorder, mean_square, read_audio
from relay.caller.client import SignalingClient
from relay.caller.errors import CallError, Failure
from relay.caller.peer import Peer
from relay.caller.report import Received, Report, SetupTimes
from relay.caller.roundtrip import DataChannelRoundTrip

CALLS = "/v1/realtime/calls"  # of the OpenAI Realtime API

#: The audio that is sent when no other is given.
SPEECH = Path(__file__).with_name("speech.opus")

_CONNECT_TIMEOUT = 10.0  # seconds from the answer to the end of DTLS
# An RTCP receiver reports every 0.5 to 1.5 s; then it has counted our last packet.
_REPORT_TIMEOUT = 2.0
# Packets that the other side sent before it hung up are at most this many seconds away.
_DRAIN = 0.3
_PROGRESS_INTERVAL = 0.5
_SILENCE = 1e-7  # power; full scale is 1, so -70 dBFS

#: Called with a step that was reached, and the report so far.
Progress = Callable[[str, Report], None]


@dataclass(frozen=True, slots=True)
class CallPlan:
    """The call to place.

    Attributes:
        url: The signaling server's base URL, or its calls route.
        seconds: How long to send audio.
        audio: The audio file to send, which is repeated as often as needed.
        record: The WAV file to record received audio to.
        key: The API key, where the server asks for one.
        model: Who is to answer, of those that the server lists; None for its first.
    """

    url: URL
    seconds: float
    audio: Path = SPEECH
    record: Path | None = None
    key: str | None = field(default=None, repr=False)
    model: str | None = None

    @property
    def calls_url(self) -> URL:
        """The route to post the offer to."""
        url = self.url.with_path(CALLS) if self.url.path == "/" else self.url
        return url if self.model is None else url.update_query(model=self.model)


async def place_call(plan: CallPlan, *, stopped: asyncio.Event, progress: Progress) -> Report:
    """Place a call and return its report, also for a call that failed.

    Args:
        plan: The call to place.
        stopped: Set it to end the call early.
        progress: Called at the steps ``answer``, ``connected``, ``talking`` (twice a second)
            and ``settling``.

    Raises:
        CallError: The audio files cannot be used, so no call was placed.
    """
    frames = await asyncio.to_thread(read_audio, plan.audio, longest=plan.seconds)
    with contextlib.ExitStack() as files:
        recorder = WavRecorder(plan.record) if plan.record else None
        if recorder is not None:
            files.callback(recorder.close)
        headers = {"Authorization": f"Bearer {plan.key}"} if plan.key else {}
        async with aiohttp.ClientSession(headers=headers) as http:
            call = _Call(
                SignalingClient(http, plan.calls_url),
                Peer(PacedTrack(frames)),
                AudioSink(recorder),
                Report(url=str(plan.calls_url)),
                progress,
            )
            await call.run(plan.seconds, stopped, speaks=mean_square(b"".join(frames)) > _SILENCE)
    return call.report


class _Call:
    """One call, once."""

    def __init__(
        self,
        client: SignalingClient,
        peer: Peer,
        sink: AudioSink,
        report: Report,
        progress: Progress,
    ) -> None:
        self.report = report
        self._client = client
        self._peer = peer
        self._sink = sink
        self._progress = progress
        self._channel = DataChannelRoundTrip(peer.channel)
        self._consumers: list[asyncio.Task[None]] = []
        self._started = time.monotonic()
        self._offered: float | None = None
        self._answered: float | None = None
        peer.connection.on("track", self._on_track)

    async def run(self, seconds: float, stopped: asyncio.Event, *, speaks: bool) -> None:
        try:
            try:
                await _run_unless(stopped, self._set_up())
                await self._send_audio(seconds, stopped)
                await self._await_final_report()
            finally:
                await self._hang_up()
            self._check_audio(speaks=speaks)
        except CallError as error:
            self.report.error = {"code": int(error.failure), "message": str(error)}

    async def _set_up(self) -> None:
        offer = await self._peer.create_offer()
        self._offered = time.monotonic()
        answer = await self._client.offer(offer)
        self._answered = time.monotonic()
        self._report_progress("answer")
        await self._peer.set_answer(answer)
        await self._peer.wait_connected(within=_CONNECT_TIMEOUT)
        self._report_progress("connected")

    async def _send_audio(self, seconds: float, stopped: asyncio.Event) -> None:
        started = time.monotonic()
        while (passed := time.monotonic() - started) < seconds and not stopped.is_set():
            if not self._peer.alive:
                raise CallError(
                    Failure.ENDED_EARLY, f"the other side ended the call after {passed:.1f} s"
                )
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(_PROGRESS_INTERVAL, seconds - passed)):
                    await stopped.wait()
            self.report.seconds = round(time.monotonic() - started, 2)
            self._report_progress("talking")
        await self._peer.stop_sending()
        self.report.interrupted = stopped.is_set()

    async def _await_final_report(self) -> None:
        """Wait until the RTCP report of the other side covers the last packet."""
        self._report_progress("settling")
        await self._peer.wait_reported(within=_REPORT_TIMEOUT)
        if (seconds := await self._peer.round_trip()) is not None:
            self.report.round_trip_ms.rtcp = _ms(seconds)

    async def _hang_up(self) -> None:
        """Hang up, receive what is still in flight, and complete the report."""
        session = await self._client.hang_up()
        if self._peer.received.packets:
            await asyncio.sleep(_DRAIN)
        self._update_report()
        await self._peer.close()
        if self._consumers:
            await asyncio.wait(self._consumers, timeout=1)
        self._update_report()
        if session is not None:
            self.report.add_session(session)

    def _check_audio(self, *, speaks: bool) -> None:
        if self.report.interrupted:
            return
        received = self.report.received
        if not received.packets:
            raise CallError(Failure.NO_AUDIO, "no audio packet came back")
        if speaks and received.energy <= _SILENCE * received.seconds:
            raise CallError(
                Failure.NO_AUDIO, f"only silence came back, in {received.packets} packets"
            )

    def _on_track(self, track: MediaStreamTrack) -> None:
        self._consumers.append(asyncio.ensure_future(self._sink.consume(track)))

    def _report_progress(self, step: str) -> None:
        self._update_report()
        self._progress(step, self.report)

    def _update_report(self) -> None:
        """Copy the measurements of now into the report."""
        peer, sink, report = self._peer, self._sink, self.report
        report.call_id = self._client.call_id
        report.remote = str(peer.remote) if peer.remote else report.remote
        report.setup_ms = SetupTimes(
            offer=self._since_start(self._offered),
            answer=self._since_start(self._answered),
            ice=self._since_start(peer.ice_completed),
            dtls=self._since_start(peer.dtls_connected),
            first_audio=self._since_start(peer.received.first),
            data_channel=self._since_start(self._channel.opened),
        )
        report.sent = peer.sent.packets
        report.received = Received(
            packets=peer.received.packets,
            lost=peer.received.lost,
            duplicates=peer.received.duplicates,
            reordered=peer.received.reordered,
            longest_loss=peer.received.longest_loss,
            longest_pause_ms=_ms(peer.received.longest_pause),
            energy=sink.energy,
            seconds=round(sink.seconds, 2),
        )
        if peer.receiver_report is not None:
            report.far_end.rtcp_lost = peer.receiver_report.packets_lost
            report.far_end.rtcp_final = peer.report_is_final
        if self._channel.seconds is not None:
            report.round_trip_ms.data_channel = _ms(self._channel.seconds)

    def _since_start(self, moment: float | None) -> float | None:
        return None if moment is None else _ms(moment - self._started)


async def _run_unless(stopped: asyncio.Event, work: Coroutine[object, object, None]) -> None:
    """Run some work, and cancel it when `stopped` is set.

    Raises:
        CallError: It was stopped, or the work failed.
    """
    working = asyncio.ensure_future(work)
    waiting = asyncio.ensure_future(stopped.wait())
    try:
        await asyncio.wait({working, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise CallError(Failure.INTERRUPTED, "interrupted before the call was set up")
        await working
    finally:
        for task in (working, waiting):
            task.cancel()
        await asyncio.gather(working, waiting, return_exceptions=True)


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
