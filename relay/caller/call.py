"""`icelane call`: place a call, send audio for a while, and account for every packet."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from aiortc.mediastreams import MediaStreamTrack
from yarl import URL

from relay.caller.audio import Listener, PacedTrack, Recorder, mean_square, read_wav
from relay.caller.client import CallClient
from relay.caller.errors import CallError, Failure
from relay.caller.peer import Peer
from relay.caller.probe import ChannelProbe
from relay.caller.report import Received, Report, SetUp

CALLS = "/v1/realtime/calls"  # of the OpenAI Realtime API

#: The audio that is sent when no other is given.
SPEECH = Path(__file__).with_name("speech.wav")

_CONNECT_TIMEOUT = 10.0  # seconds from the answer to the end of DTLS
# An RTCP receiver reports every 0.5 to 1.5 s; then it has counted our last packet.
_REPORT_TIMEOUT = 2.0
# Packets that the other side sent before it hung up are at most this many seconds away.
_DRAIN = 0.3
_PROGRESS_INTERVAL = 0.5
_SILENCE = 1e-7  # power; full scale is 1, so -70 dBFS

#: Told of a step that was reached, and of the report so far.
Progress = Callable[[str, Report], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What call to place.

    Attributes:
        url: The signaling server's base URL, or its calls route.
        seconds: How long to send audio.
        wav: The audio, which is repeated as often as needed.
        record: Where to record what comes back.
    """

    url: URL
    seconds: float
    wav: Path = SPEECH
    record: Path | None = None

    @property
    def calls_url(self) -> URL:
        """The route that offers are posted to."""
        return self.url.with_path(CALLS) if self.url.path == "/" else self.url


async def place_call(plan: Plan, *, stopped: asyncio.Event, progress: Progress) -> Report:
    """Place a call and return its report, which also tells of a call that failed.

    Args:
        plan: What call to place.
        stopped: Set it to end the call early.
        progress: Told of the steps ``answer``, ``connected``, ``talking`` (twice a second)
            and ``settling``.

    Raises:
        CallError: The audio files cannot be used, so no call was placed.
    """
    frames = await asyncio.to_thread(read_wav, plan.wav, longest=plan.seconds)
    with contextlib.ExitStack() as files:
        recorder = Recorder(plan.record) if plan.record else None
        if recorder is not None:
            files.callback(recorder.close)
        async with aiohttp.ClientSession() as http:
            call = _Call(
                CallClient(http, plan.calls_url),
                Peer(PacedTrack(frames)),
                Listener(recorder),
                Report(url=str(plan.calls_url)),
                progress,
            )
            await call.run(plan.seconds, stopped, speaks=mean_square(b"".join(frames)) > _SILENCE)
    return call.report


class _Call:
    """One call, once."""

    def __init__(
        self,
        client: CallClient,
        peer: Peer,
        listener: Listener,
        report: Report,
        progress: Progress,
    ) -> None:
        self.report = report
        self._client = client
        self._peer = peer
        self._listener = listener
        self._progress = progress
        self._probe = ChannelProbe(peer.channel)
        self._listening: list[asyncio.Task[None]] = []
        self._begun = time.monotonic()
        self._offered: float | None = None
        self._answered: float | None = None
        peer.connection.on("track", self._hear)

    async def run(self, seconds: float, stopped: asyncio.Event, *, speaks: bool) -> None:
        try:
            try:
                await _unless(stopped, self._set_up())
                await self._talk(seconds, stopped)
                await self._settle()
            finally:
                await self._end()
            self._judge(speaks=speaks)
        except CallError as error:
            self.report.error = {"code": int(error.failure), "message": str(error)}

    async def _set_up(self) -> None:
        offer = await self._peer.make_offer()
        self._offered = time.monotonic()
        answer = await self._client.offer(offer)
        self._answered = time.monotonic()
        self._tell("answer")
        await self._peer.take_answer(answer)
        await self._peer.connected(within=_CONNECT_TIMEOUT)
        self._tell("connected")

    async def _talk(self, seconds: float, stopped: asyncio.Event) -> None:
        started = time.monotonic()
        while (passed := time.monotonic() - started) < seconds and not stopped.is_set():
            if not self._peer.alive:
                raise CallError(
                    Failure.ENDED_EARLY, f"the other side ended the call after {passed:.1f} s"
                )
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopped.wait(), min(_PROGRESS_INTERVAL, seconds - passed))
            self.report.seconds = round(time.monotonic() - started, 2)
            self._tell("talking")
        self._peer.stop_sending()
        self.report.interrupted = stopped.is_set()

    async def _settle(self) -> None:
        """Wait until the other side has reported on the last packet."""
        self._tell("settling")
        await self._peer.reported(within=_REPORT_TIMEOUT)
        if (seconds := await self._peer.round_trip()) is not None:
            self.report.round_trip_ms.rtcp = _ms(seconds)

    async def _end(self) -> None:
        """Hang up, take what is still under way, and complete the report."""
        session = await self._client.hang_up()
        if self._peer.received.packets:
            await asyncio.sleep(_DRAIN)
        self._measure()
        await self._peer.close()
        if self._listening:
            await asyncio.wait(self._listening, timeout=1)
        self._measure()
        if session is not None:
            self.report.take_session(session)

    def _judge(self, *, speaks: bool) -> None:
        if self.report.interrupted:
            return
        received = self.report.received
        if not received.packets:
            raise CallError(Failure.NO_AUDIO, "no audio packet came back")
        if speaks and received.energy <= _SILENCE * received.seconds:
            raise CallError(
                Failure.NO_AUDIO, f"only silence came back, in {received.packets} packets"
            )

    def _hear(self, track: MediaStreamTrack) -> None:
        self._listening.append(asyncio.ensure_future(self._listener.listen(track)))

    def _tell(self, step: str) -> None:
        self._measure()
        self._progress(step, self.report)

    def _measure(self) -> None:
        """Bring the report up to date."""
        peer, listener, report = self._peer, self._listener, self.report
        report.call_id = self._client.call_id
        report.remote = str(peer.remote) if peer.remote else report.remote
        report.setup_ms = SetUp(
            offer=self._since_begun(self._offered),
            answer=self._since_begun(self._answered),
            ice=self._since_begun(peer.ice_completed),
            dtls=self._since_begun(peer.dtls_connected),
            first_audio=self._since_begun(peer.received.first),
            data_channel=self._since_begun(self._probe.opened),
        )
        report.sent = peer.sent.packets
        report.received = Received(
            packets=peer.received.packets,
            lost=peer.received.lost,
            duplicates=peer.received.duplicates,
            reordered=peer.received.reordered,
            longest_loss=peer.received.longest_loss,
            longest_pause_ms=_ms(peer.received.longest_pause),
            energy=listener.energy,
            seconds=round(listener.seconds, 2),
        )
        if peer.receiver_report is not None:
            report.far_end.rtcp_lost = peer.receiver_report.packets_lost
            report.far_end.rtcp_final = peer.report_is_final
        if self._probe.round_trip is not None:
            report.round_trip_ms.data_channel = _ms(self._probe.round_trip)

    def _since_begun(self, moment: float | None) -> float | None:
        return None if moment is None else _ms(moment - self._begun)


async def _unless(stopped: asyncio.Event, work: Coroutine[object, object, None]) -> None:
    """Do some work, unless a stop is asked for meanwhile.

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
