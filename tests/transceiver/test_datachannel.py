"""The messages that open data channels."""

import struct
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from transceiver.datachannel import Channel, is_open, parameters

if TYPE_CHECKING:
    from aiortc import RTCDataChannel


def opening(label: bytes, protocol: bytes = b"", kind: int = 0, reliability: int = 0) -> bytes:
    head = struct.pack("!BBHLHH", 3, kind, 0, reliability, len(label), len(protocol))
    return head + label + protocol


@pytest.mark.parametrize(
    ("kind", "ordered", "retransmits", "lifetime"),
    [(0, True, None, None), (0x80, False, None, None), (1, True, 9, None), (0x82, False, None, 9)],
)
def test_what_an_open_message_says(
    kind: int, ordered: bool, retransmits: int | None, lifetime: int | None
) -> None:
    said = parameters(4, opening("événements".encode(), b"json", kind, 9))
    assert (said.label, said.protocol, said.id) == ("événements", "json", 4)
    assert (said.ordered, said.maxRetransmits, said.maxPacketLifeTime) == (
        ordered,
        retransmits,
        lifetime,
    )


def test_a_channel_knows_how_long_a_message_may_be() -> None:
    limits = [0]
    channel = Channel(cast("RTCDataChannel", SimpleNamespace(label="x")), send, lambda: limits[-1])
    assert (channel.label, channel.longest) == ("x", 0)
    limits.append(1024)  # by a later offer
    assert channel.longest == 1024


def send(_channel: object, _message: object) -> bool:
    return False


def test_names_that_are_no_utf8_or_cut_are_taken_as_far_as_they_go() -> None:
    assert parameters(1, opening(b"\xff\xfe")).label == "\N{REPLACEMENT CHARACTER}" * 2
    assert parameters(1, opening(b"events")[:-3]).label == "eve"


@pytest.mark.parametrize(
    ("message", "opens"),
    [(opening(b""), True), (opening(b"x")[:11], False), (b"\x02", False), (b"", False)],
)
def test_which_messages_open_a_channel(message: bytes, opens: bool) -> None:
    assert is_open(message) is opens
