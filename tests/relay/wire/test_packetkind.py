"""What a datagram is, by its first bytes."""

import pytest

from relay.wire.packetkind import kind_of
from relay.wire.stun import BINDING, Message, MessageClass


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        *(
            (Message(each, BINDING, bytes(12), ()).serialize(b"password"), kind)
            for each, kind in (
                (MessageClass.REQUEST, "STUN request"),
                (MessageClass.INDICATION, "STUN indication"),
                (MessageClass.SUCCESS, "STUN success"),
                (MessageClass.ERROR, "STUN error"),
            )
        ),
        (b"\x00\x01\x00\x00" + bytes(16), "STUN, broken"),  # without the cookie
        (b"\x00\x01\x00\x00\x21\x12\xa4\x42", "STUN, broken"),
        (b"\x16\xfe\xfd", "DTLS"),
        (b"\x80\x6f" + bytes(10), "RTP"),
        (b"\x80\xef", "RTP"),  # payload type 111 with a marker
        (b"\x80\xc8", "RTCP"),
        (b"\x81\xcd", "RTCP"),
        (b"\x80", "RTP"),
        (b"\xc0\x01", "control"),
        (b"\x40\x00", "other"),  # TURN's channel data
        (b"", "empty"),
    ],
)
def test_kind(payload: bytes, kind: str) -> None:
    assert kind_of(payload) == kind
