"""The association of a call and its data channels (RFC 8831, 8832), by aiortc's SCTP.

The only module of the transceiver that touches aiortc, and its private names:
tests/transceiver/test_sctp.py holds them against the aiortc that is installed.

aiortc's association is made of coroutines that wait for nothing but the sending of a packet. Here
sending does not wait, so they are run to their end where they are called. What a client sends is
looked at by `transceiver.sctpguard` first, and is bounded in memory and in time.
"""

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from aiortc import RTCDataChannel, RTCDataChannelParameters, RTCDtlsTransport, RTCSctpTransport
from aiortc import rtcsctptransport as aiortc_sctp

from transceiver import sctpguard
from transceiver.backend import EVENTS_LABEL
from transceiver.datachannel import ACK, Channel, Receiver, is_open, parameters
from transceiver.plan import DataPlan, DtlsRole
from transceiver.underaiortc import Below, Timers, run

if TYPE_CHECKING:
    import asyncio

PORT = 5000
MAX_MESSAGE_SIZE = 262_144  # bytes that we take in one message, as browsers do
MAX_BUFFERED = 1 << 20  # bytes that wait to be sent, of a channel and of the association
MAX_CHANNELS = 128  # of a call; SDKs of voice use one

_WINDOW = 512 << 10  # bytes of messages that are not yet complete
_MAX_FRAGMENTS = 1024  # of a message; real ones have about 1,200 bytes
_MAX_STORED = 4096  # fragments of all of them
_PATIENCE = 1.0  # seconds that a client has for its INIT before we send ours
_FIRST_RTO = 0.5  # seconds until the first chunk is sent again; libwebrtc takes the same
_DCEP, _STRING, _BINARY, _STRING_EMPTY, _BINARY_EMPTY = 50, 51, 53, 56, 57

#: Private names that are touched here.
NAMES = (
    *("_association_state", "_handle_data", "_receive_chunk", "_receive_data_chunk", "_init"),
    *("_data_channel_receive", "_data_channel_closed", "_data_channel_flush", "_transmit"),
    *("_data_channel_queue", "_data_channels", "_data_channel_id", "_inbound_streams"),
    *("_inbound_streams_count", "_inbound_streams_max", "_outbound_streams_count"),
    *("_get_inbound_stream", "_get_extensions", "_set_extensions", "_mark_received"),
    *("_last_received_tsn", "_last_sacked_tsn", "_local_tsn", "_outbound_queue", "_receive"),
    *("_local_verification_tag", "_remote_verification_tag", "_remote_port", "_ssthresh"),
    *("_remote_max_message_size", "_reconfig_response_seq", "_reset_deferred_streams"),
    *("_receive_reconfig_param", "_reconfig_request", "_data_channel_inbound_reset"),
    *("_advertised_rwnd", "_sack_needed", "_send_sack", "_set_state", "_rto", "_loop"),
)


class Association(RTCSctpTransport):
    """The association of a call.

    Args:
        role: Ours in the DTLS handshake.
        send: Sends an SCTP packet.
        receiver: Gets what comes.
        negotiated: The stream of the events channel, where the client said so beforehand; such a
            channel opens without a message (RFC 8831, section 6.5).

    Attributes:
        counts: What was refused, by reason.
        has_begun: Whether it was told to `begin`.
        init: Our INIT chunk, header included, for a=sctp-init (SNAP).
    """

    def __init__(
        self,
        role: DtlsRole,
        send: Callable[[bytes], None],
        receiver: Receiver,
        negotiated: int | None = None,
    ) -> None:
        super().__init__(cast("RTCDtlsTransport", Below(role, send)), PORT)
        self.counts: Counter[str] = Counter()
        self.has_begun = False
        self._receiver = receiver
        self._timers = Timers(receiver.data_broke)
        self._loop = cast("asyncio.AbstractEventLoop", self._timers)
        self._rto = _FIRST_RTO
        self._advertised_rwnd = _WINDOW
        self._data_channel_id = 0 if role is DtlsRole.CLIENT else 1  # RFC 8832, section 6
        self._ours: dict[int, Channel] = {}
        self._too_long: set[int] = set()  # streams that are in a message that is too long
        self._patience: asyncio.TimerHandle | None = None  # while the client's INIT is awaited
        self.init = self._init_chunk()
        if negotiated is not None:
            parameters = RTCDataChannelParameters(
                label=EVENTS_LABEL, negotiated=True, id=negotiated
            )
            RTCDataChannel(self, parameters)

    @property
    def is_established(self) -> bool:
        """Whether messages can be sent."""
        return self._association_state is self.State.ESTABLISHED

    def _init_chunk(self) -> bytes:
        chunk = aiortc_sctp.InitChunk()
        chunk.initiate_tag = self._local_verification_tag
        chunk.advertised_rwnd = self._advertised_rwnd
        chunk.outbound_streams = self._outbound_streams_count
        chunk.inbound_streams = self._inbound_streams_max
        chunk.initial_tsn = self._local_tsn
        self._set_extensions(chunk.params)
        return bytes(chunk)

    def begin(self, plan: DataPlan) -> None:
        """Begin, when DTLS is connected.

        With the client's INIT in the offer both sides are established at once
        (draft-hancke-tsvwg-snap). Without it both may send theirs (RFC 8841, section 9.3), and all
        clients do, once they know that DTLS is connected. Until then some end when they get ours
        (werift 0.25), so ours comes only where none of theirs did.
        """
        self.has_begun = True
        self.limit(plan)
        self._remote_port = plan.port
        if plan.sctp_init is None:
            self._patience = self._timers.call_later(_PATIENCE, self._init_ourselves)
        else:
            self._take_init(aiortc_sctp.InitChunk(body=plan.sctp_init[4:]))
            self._set_state(self.State.ESTABLISHED)

    def limit(self, plan: DataPlan) -> None:
        """Take note of how long the client's messages may be."""
        self._remote_max_message_size = plan.max_message_size

    def receive(self, packet: bytes) -> None:
        """Take an SCTP packet."""
        if not self.has_begun:
            return
        try:
            run(self._handle_data(packet))
        except Exception as error:  # noqa: BLE001  # it costs the packet
            self._receiver.data_broke(error)

    def send(self, channel: RTCDataChannel, message: str | bytes) -> bool:
        """See `Channel.send`."""
        if channel.readyState != "open" or channel.bufferedAmount >= MAX_BUFFERED:
            return False
        data = message.encode("utf-8", "replace") if isinstance(message, str) else message
        if 0 < self._remote_max_message_size < len(data):
            self.counts["message_too_long_for_client"] += 1
            return False
        kinds = (_STRING, _STRING_EMPTY) if isinstance(message, str) else (_BINARY, _BINARY_EMPTY)
        # An empty message has a byte that does not count (RFC 8831, section 6.6).
        item = (channel, kinds[not data], data or b"\0")
        channel._addBufferedAmount(len(item[2]))  # noqa: SLF001  # see NAMES
        self._data_channel_queue.append(item)
        run(self._data_channel_flush())
        return True

    def end(self) -> None:
        """Abort the association, and close its channels."""
        if self.has_begun:
            run(self.stop())

    def _longest(self) -> int:
        return self._remote_max_message_size

    def _init_ourselves(self) -> None:
        self._patience = None
        run(self._init())

    def _take_init(self, chunk: aiortc_sctp.InitChunk) -> None:
        """What aiortc does with an INIT before it answers."""
        self._last_received_tsn = aiortc_sctp.tsn_minus_one(chunk.initial_tsn)
        self._reconfig_response_seq = aiortc_sctp.tsn_minus_one(chunk.initial_tsn)
        self._remote_verification_tag = chunk.initiate_tag
        self._ssthresh = chunk.advertised_rwnd
        self._get_extensions(chunk.params)
        self._inbound_streams_count = min(chunk.outbound_streams, self._inbound_streams_max)
        self._outbound_streams_count = min(self._outbound_streams_count, chunk.inbound_streams)

    async def _handle_data(self, data: bytes) -> None:
        for chunk in sctpguard.chunks(data, self._local_verification_tag):
            if self._has_ended:
                return
            if not sctpguard.fits(chunk, self._progress()):
                self.counts[f"{chunk.kind.name.lower()}_out_of_place"] += 1
                continue
            parsed = aiortc_sctp.CHUNK_TYPES[chunk.kind](flags=chunk.flags, body=chunk.body)
            if isinstance(parsed, aiortc_sctp.ForwardTsnChunk):
                parsed.streams = [
                    each for each in parsed.streams if each[0] in self._inbound_streams
                ]
            await self._receive_chunk(parsed)
        if self._sack_needed and not self._has_ended:
            await self._send_sack()

    @property
    def _has_ended(self) -> bool:
        return self._association_state is self.State.CLOSED and self._patience is None

    def _progress(self) -> sctpguard.Progress:
        return sctpguard.Progress(
            established=self.is_established,
            received=self._last_received_tsn,
            acknowledged=self._last_sacked_tsn,
            sent=(self._local_tsn - 1 - len(self._outbound_queue)) % (1 << 32),
        )

    async def _receive_data_chunk(self, chunk: aiortc_sctp.DataChunk) -> None:
        """Take a DATA chunk, if there is room for it; what is not taken is not acknowledged."""
        self._sack_needed = True
        following = self._last_received_tsn == aiortc_sctp.tsn_minus_one(chunk.tsn)
        room = self._room(len(chunk.user_data), extra=0)
        if not room and not following:
            self.counts["data_without_room"] += 1
            return
        if self._mark_received(chunk.tsn):
            return
        # What follows may let go of much that waits for it.
        room = room or self._room(len(chunk.user_data), extra=1)
        stream = self._wanting(chunk, room=room)
        if stream is None:
            return
        stream.add_chunk(chunk)
        self._advertised_rwnd -= len(chunk.user_data)
        for message in stream.pop_messages():
            self._advertised_rwnd += len(message[2])
            await self._receive(*message)
        await self._reset_deferred_streams()

    def _room(self, size: int, *, extra: int) -> bool:
        """Whether there is room for a fragment in so many bytes, with extra or without."""
        stored = sum(len(each.reassembly) for each in self._inbound_streams.values())
        return (
            stored < _MAX_STORED + extra * _MAX_FRAGMENTS
            and size <= self._advertised_rwnd + extra * MAX_MESSAGE_SIZE
        )

    def _wanting(
        self, chunk: aiortc_sctp.DataChunk, *, room: bool
    ) -> aiortc_sctp.InboundStream | None:
        """The stream that takes a fragment; None for those of messages that must not be.

        They are acknowledged and forgotten.
        """
        number = chunk.stream_id
        if number not in self._inbound_streams and len(self._inbound_streams) >= 2 * MAX_CHANNELS:
            self.counts["streams_too_many"] += 1
            return None
        stream = self._get_inbound_stream(number)
        begins = bool(chunk.flags & aiortc_sctp.SCTP_DATA_FIRST_FRAG)
        if begins:
            self._too_long.discard(number)
        fragments, size = _message_so_far(stream, chunk)
        fits = room and fragments <= _MAX_FRAGMENTS and size <= MAX_MESSAGE_SIZE
        if fits and number not in self._too_long:
            return stream
        if number not in self._too_long:
            self._refuse_message(number, stream)
        if not chunk.flags & aiortc_sctp.SCTP_DATA_UNORDERED:
            stream.sequence_number = (chunk.stream_seq + 1) % (1 << 16)
        return None

    def _refuse_message(self, number: int, stream: aiortc_sctp.InboundStream) -> None:
        """Forget what came of a message that is too long, and tell."""
        self.counts["message_too_long"] += 1
        self._too_long.add(number)
        self._advertised_rwnd += sum(len(each.user_data) for each in stream.reassembly)
        stream.reassembly = []
        channel = self._ours.get(number)
        if channel is not None:
            why = f"a message must not have more than {MAX_MESSAGE_SIZE} bytes"
            self._receiver.malformed(channel, why)

    async def _data_channel_receive(self, stream_id: int, pp_id: int, data: bytes) -> None:
        channel = self._ours.get(stream_id)
        if pp_id == _DCEP:
            await self._control(stream_id, data)
        elif channel is None or not channel.is_open:
            self.counts["message_without_channel"] += 1
        elif pp_id in (_STRING_EMPTY, _BINARY_EMPTY):
            self._receiver.message(channel, "" if pp_id == _STRING_EMPTY else b"")
        elif pp_id == _BINARY:
            self._receiver.message(channel, data)
        elif pp_id == _STRING:
            try:
                text = data.decode()
            except UnicodeDecodeError:
                self.counts["message_not_utf8"] += 1
                self._receiver.malformed(channel, "a text message must be UTF-8")
            else:
                self._receiver.message(channel, text)
        else:
            self.counts["message_of_unknown_kind"] += 1
            self._receiver.malformed(channel, f"payload protocol {pp_id} is none of a data channel")

    async def _control(self, number: int, data: bytes) -> None:
        """Take a message of DCEP (RFC 8832)."""
        if data[:1] == ACK:
            return  # we open no channels
        if not is_open(data):
            self.counts["dcep_malformed"] += 1
        elif await self._is_taken(number):
            self.counts["dcep_open_again"] += 1
        elif len(self._data_channels) >= MAX_CHANNELS:
            self.counts["channels_too_many"] += 1
        else:
            channel = RTCDataChannel(self, parameters(number, data), send_open=False)
            channel._setReadyState("open")  # noqa: SLF001  # see NAMES
            self._data_channels[number] = channel
            self._data_channel_queue.append((channel, _DCEP, ACK))
            await self._data_channel_flush()
            self._tell(number, channel)

    async def _is_taken(self, number: int) -> bool:
        """Whether there is a channel on a stream on which the client opens one.

        Where we have reset the stream after the client did, the client opens it anew because it
        knows so (RFC 8831, section 6.7): only its answer was lost.
        """
        request = self._reconfig_request
        if request and number in request.streams and number in self._data_channel_inbound_reset:
            done = aiortc_sctp.RECONFIG_RESULT_SUCCESS_PERFORMED
            await self._receive_reconfig_param(
                aiortc_sctp.StreamResetResponseParam(request.request_sequence, done)
            )
        return number in self._data_channels

    def _tell(self, number: int, channel: RTCDataChannel) -> None:
        self._ours[number] = made = Channel(channel, self.send, self._longest)
        self._receiver.channel(made)

    def _set_state(self, state: RTCSctpTransport.State) -> None:
        super()._set_state(state)
        if self._patience is not None:  # aiortc sets no state before it is established or closed
            self._patience.cancel()
            self._patience = None
        if state is self.State.ESTABLISHED:
            for number, channel in list(self._data_channels.items()):
                if channel.negotiated and number not in self._ours:
                    self._tell(number, channel)

    def _data_channel_closed(self, stream_id: int) -> None:
        self._ours.pop(stream_id, None)
        if stream_id in self._data_channels:  # a client may answer a reset twice
            super()._data_channel_closed(stream_id)

    async def _data_channel_flush(self) -> None:
        try:
            await super()._data_channel_flush()
        except Exception as error:  # noqa: BLE001  # aiortc runs it as a task that nobody awaits
            self._receiver.data_broke(error)

    async def _transmit(self) -> None:
        if self._has_ended:
            return  # its timers would go on for ever
        try:
            await super()._transmit()
        except Exception as error:  # noqa: BLE001  # aiortc runs it as a task that nobody awaits
            self._receiver.data_broke(error)


def _message_so_far(
    stream: aiortc_sctp.InboundStream, chunk: aiortc_sctp.DataChunk
) -> tuple[int, int]:
    """How many fragments of a chunk's message there are up to it, and their bytes."""
    fragments, size, expected = 1, len(chunk.user_data), chunk.tsn
    if chunk.flags & aiortc_sctp.SCTP_DATA_FIRST_FRAG:
        return fragments, size
    for part in reversed(stream.reassembly):
        before = aiortc_sctp.tsn_minus_one(expected)
        if part.tsn == before:
            fragments, size, expected = fragments + 1, size + len(part.user_data), before
            if part.flags & aiortc_sctp.SCTP_DATA_FIRST_FRAG:
                break
    return fragments, size
