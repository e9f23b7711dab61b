"""Whose fault an error of the wire is: this host's settings, or what came from the network."""

from collections.abc import Callable

import pytest

from relay.wire.announcement import Announcement
from relay.wire.endpoint import Endpoint
from relay.wire.errors import (
    AnnouncementError,
    EndpointError,
    FramingError,
    IcmpError,
    IntegrityError,
    KeyFileError,
    MessageError,
    RouteFormatError,
    RouteKeyError,
    RouteTagError,
    StunError,
)
from relay.wire.framing import FrameReader
from relay.wire.icmp import parse_icmp4
from relay.wire.keys import KeyRing
from relay.wire.route import Target, mint, open_ufrag
from relay.wire.stun import BINDING, Message, MessageClass, verify_integrity

MASTER = bytes(range(100, 132))
KEYS = KeyRing({0: MASTER}, signing_slot=0)
OTHERS = KeyRing({0: bytes(32), 1: MASTER}, signing_slot=1)
ROUTE = mint(Target(1, 1, 1), KEYS, now=0, lifetime=60, nonce=bytes(4))
OF_SLOT_1 = mint(Target(1, 1, 1), OTHERS, now=0, lifetime=60, nonce=bytes(4))
CHECK = Message(MessageClass.REQUEST, BINDING, bytes(12)).serialize(b"password")

REMOTE: dict[str, tuple[Callable[[], object], type[MessageError]]] = {
    "no STUN": (lambda: Message.parse(b"\x00"), StunError),
    "another password": (lambda: verify_integrity(CHECK, b"other"), IntegrityError),
    "no ufrag of ours": (lambda: open_ufrag("A", KEYS), RouteFormatError),
    "an unknown key slot": (lambda: open_ufrag(OF_SLOT_1.ufrag, KEYS), RouteKeyError),
    "keys of others": (lambda: open_ufrag(ROUTE.ufrag, OTHERS), RouteTagError),
    "a frame too long": (lambda: list(FrameReader(9).feed(b"\0\x0a")), FramingError),
    "no ICMP error": (lambda: parse_icmp4(b""), IcmpError),
    "no announcement": (lambda: Announcement.parse(b"", KEYS), AnnouncementError),
}


@pytest.mark.parametrize(("read", "kind"), REMOTE.values(), ids=REMOTE)
def test_what_came_from_the_network_is_a_message_error(
    read: Callable[[], object], kind: type[MessageError]
) -> None:
    with pytest.raises(MessageError) as caught:
        read()
    assert type(caught.value) is kind
    assert isinstance(caught.value, ValueError)
    for text in (str(caught.value), repr(caught.value.__cause__)):
        assert MASTER.hex() not in text
        assert repr(MASTER)[2:-1] not in text


@pytest.mark.parametrize(
    ("read", "kind"),
    [
        (lambda: Endpoint.parse("here"), EndpointError),
        (lambda: KeyRing.of({"signing": 0, "keys": {}}), KeyFileError),
    ],
    ids=["address", "key file"],
)
def test_what_stands_in_settings_is_none(
    read: Callable[[], object], kind: type[ValueError]
) -> None:
    with pytest.raises(kind) as caught:
        read()
    assert not isinstance(caught.value, MessageError)
