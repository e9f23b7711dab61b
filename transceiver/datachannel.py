"""Data channels as a call sees them, and the messages that open them (RFC 8832)."""

import struct
from collections.abc import Callable
from typing import Any, Protocol

from aiortc import RTCDataChannel, RTCDataChannelParameters

_OPEN = 3
ACK = b"\x02"
_open = struct.Struct("!BBHLHH")


class Channel:
    """An open data channel.

    Args:
        channel: aiortc's.
        send: Sends a message on it; see `Channel.send`.
        longest: Tells how many bytes a message of ours may have; 0 for any number.

    Attributes:
        label: Its name.
    """

    def __init__(
        self,
        channel: RTCDataChannel,
        send: Callable[[RTCDataChannel, str | bytes], bool],
        longest: Callable[[], int],
    ) -> None:
        self._channel = channel
        self._longest = longest
        self._send = send
        self.label = channel.label

    @property
    def longest(self) -> int:
        """Bytes of the longest message that the client takes (a=max-message-size); 0 for any."""
        return self._longest()

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent."""
        return self._channel.readyState == "open"

    def send(self, message: str | bytes) -> bool:
        """Send a message.

        Returns:
            False if the channel is closed or far behind, or the client takes none that is so long.
        """
        return self._send(self._channel, message)


class Receiver(Protocol):
    """Whose association it is."""

    def channel(self, channel: Channel) -> None:
        """A channel has opened."""

    def message(self, channel: Channel, message: str | bytes) -> None:
        """A message came."""

    def malformed(self, channel: Channel, why: str) -> None:
        """A message came that is none; why, in words for the client's developer."""

    def data_broke(self, error: Exception) -> None:
        """Something raised that should not."""


def is_open(message: bytes) -> bool:
    """Whether a message opens a channel."""
    return len(message) >= _open.size and message[0] == _OPEN


def parameters(number: int, data: bytes) -> RTCDataChannelParameters:
    """What an OPEN message says; names that are no UTF-8 get marks in place of what is none."""
    _, kind, _, reliability, label, protocol = _open.unpack_from(data)
    names = data[_open.size :]
    limits: dict[int, dict[str, Any]] = {
        1: {"maxRetransmits": reliability},
        2: {"maxPacketLifeTime": reliability},
    }
    limit = limits.get(kind & 3, {})
    return RTCDataChannelParameters(
        label=names[:label].decode("utf-8", "replace"),
        protocol=names[label : label + protocol].decode("utf-8", "replace"),
        ordered=not kind & 0x80,
        id=number,
        **limit,
    )
