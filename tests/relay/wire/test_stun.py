import hashlib
import hmac
import socket
import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.wire.endpoint import Endpoint
from relay.wire.errors import IntegrityError, StunError
from relay.wire.stun import (
    BINDING,
    HEADER_SIZE,
    MAX_ATTRIBUTES_TO_USERNAME,
    TRANSACTION_ID_SIZE,
    Attribute,
    Message,
    MessageClass,
    header,
    server_ufrag,
    unxor_address,
    username,
    verify_integrity,
    xor_address,
)

TRANSACTION = bytes.fromhex("b7e7a701bc34d686fa87dfae")
PASSWORD = b"VOkJxbRl1RmTxUk/WvJxBt"

# RFC 5769, sections 2.1 to 2.3. The padding there is spaces: only the length tells it from values.
HEAD = "2112a442b7e7a701bc34d686fa87dfae"
REQUEST = bytes.fromhex(
    "00010058" + HEAD + "802200105354554e207465737420636c69656e74"
    "002400046e0001ff" + "80290008932ff9b151263b36" + "000600096576746a3a68367659202020"
    "000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2" + "80280004e57a3bcf"
)
RESPONSE_V4 = bytes.fromhex(
    "0101003c" + HEAD + "8022000b7465737420766563746f7220"
    "002000080001a147e112a643"
    "000800142b91f599fd9e90c38c7489f92af9ba53f06be7d7" + "80280004c07d4c96"
)
RESPONSE_V6 = bytes.fromhex(
    "01010048" + HEAD + "8022000b7465737420766563746f7220"
    "002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9"
    "00080014a382954e4be67bf11784c97c8292c275bfe3ed41" + "80280004c8fb0b4c"
)
VECTORS = {"request": REQUEST, "IPv4 response": RESPONSE_V4, "IPv6 response": RESPONSE_V6}
vectors = pytest.mark.parametrize("vector", VECTORS.values(), ids=VECTORS.keys())

ADDED_BY_SERIALIZE = {
    Attribute.MESSAGE_INTEGRITY,
    Attribute.MESSAGE_INTEGRITY_SHA256,
    Attribute.FINGERPRINT,
}
ATTRIBUTES = st.lists(
    st.tuples(
        st.one_of(st.sampled_from(list(Attribute)), st.integers(0, 0xFFFF)).filter(
            lambda kind: kind not in ADDED_BY_SERIALIZE
        ),
        st.binary(max_size=40),
    ),
    max_size=12,
)
MESSAGES = st.builds(
    Message,
    st.sampled_from(MessageClass),
    st.integers(0, 0xFFF),
    st.binary(min_size=TRANSACTION_ID_SIZE, max_size=TRANSACTION_ID_SIZE),
    ATTRIBUTES.map(tuple),
)


def request(*attributes: tuple[int, bytes]) -> bytes:
    return Message(MessageClass.REQUEST, BINDING, TRANSACTION, attributes).serialize()


class TestRfc5769:
    @vectors
    def test_integrity_and_fingerprint_verify(self, vector: bytes) -> None:
        verify_integrity(vector, PASSWORD)

    @vectors
    def test_another_password_does_not(self, vector: bytes) -> None:
        with pytest.raises(IntegrityError, match="MESSAGE-INTEGRITY"):
            verify_integrity(vector, PASSWORD + b"x")

    def test_the_request_is_read(self) -> None:
        message = Message.parse(REQUEST)
        assert (message.message_class, message.method) == (MessageClass.REQUEST, BINDING)
        assert message.transaction_id == TRANSACTION
        assert [kind for kind, _ in message.attributes] == [
            Attribute.SOFTWARE,
            Attribute.PRIORITY,
            Attribute.ICE_CONTROLLED,
            Attribute.USERNAME,
            Attribute.MESSAGE_INTEGRITY,
            Attribute.FINGERPRINT,
        ]
        assert message.get(Attribute.SOFTWARE) == b"STUN test client"
        assert message.get(Attribute.USERNAME) == username(REQUEST) == b"evtj:h6vY"
        assert server_ufrag(REQUEST) == b"evtj"

    @pytest.mark.parametrize(
        ("vector", "address"),
        [
            (RESPONSE_V4, "192.0.2.1:32853"),
            (RESPONSE_V6, "[2001:db8:1234:5678:11:2233:4455:6677]:32853"),
        ],
        ids=["IPv4", "IPv6"],
    )
    def test_the_mapped_address_is_read_and_written(self, vector: bytes, address: str) -> None:
        message = Message.parse(vector)
        assert message.message_class is MessageClass.SUCCESS
        value = message.get(Attribute.XOR_MAPPED_ADDRESS)
        assert value is not None
        assert unxor_address(value, TRANSACTION) == Endpoint.parse(address)
        assert xor_address(Endpoint.parse(address), TRANSACTION) == value

    def test_serialize_gives_the_same_bytes_but_for_the_padding(self) -> None:
        message = Message.parse(RESPONSE_V4)
        unsigned = Message(
            message.message_class, message.method, message.transaction_id, message.attributes[:2]
        )
        ours = unsigned.serialize(PASSWORD)
        assert ours[: HEADER_SIZE + 15] == RESPONSE_V4[: HEADER_SIZE + 15]
        assert len(ours) == len(RESPONSE_V4)
        verify_integrity(ours, PASSWORD)


class TestRoundTrip:
    @given(MESSAGES)
    def test_message_to_bytes_and_back(self, message: Message) -> None:
        data = message.serialize()
        assert len(data) % 4 == 0
        assert Message.parse(data) == message
        assert header(data) == (message.message_class, message.method, message.transaction_id)

    @given(MESSAGES, st.binary(min_size=1, max_size=30))
    def test_signed_bytes_verify_and_read_back_as_the_same_bytes(
        self, message: Message, password: bytes
    ) -> None:
        data = message.serialize(password)
        verify_integrity(data, password)
        read = Message.parse(data)
        assert read.attributes[:-2] == message.attributes
        assert read.serialize() == data

    @given(
        st.binary(min_size=18, max_size=18).map(Endpoint.unpack),
        st.binary(min_size=TRANSACTION_ID_SIZE, max_size=TRANSACTION_ID_SIZE),
    )
    def test_address_to_value_and_back(self, endpoint: Endpoint, transaction: bytes) -> None:
        assert unxor_address(xor_address(endpoint, transaction), transaction) == endpoint

    def test_a_mapped_ipv6_address_in_a_value_is_canonicalised(self) -> None:
        mapped = socket.inet_pton(socket.AF_INET6, "::ffff:192.0.2.1")
        mask = REQUEST[4:8] + TRANSACTION
        value = struct.pack("!BBH", 0, 2, 5000 ^ 0x2112) + bytes(
            a ^ b for a, b in zip(mapped, mask, strict=True)
        )
        assert unxor_address(value, TRANSACTION) == ("192.0.2.1", 5000)


class TestHeader:
    @pytest.mark.parametrize(
        ("change", "says"),
        [
            (lambda data: data[:0], "shorter"),
            (lambda data: data[: HEADER_SIZE - 1], "shorter"),
            (lambda data: b"\x40" + data[1:], "top bits"),
            (lambda data: b"\x80" + data[1:], "top bits"),
            (lambda data: data[:4] + b"\x20" + data[5:], "cookie"),
            (lambda data: data + b"\0", "length"),
            (lambda data: data + bytes(4), "length"),
            (lambda data: data[:-1], "length"),
            (lambda data: data[:-4], "length"),
            (lambda data: data[:2] + bytes(2) + data[4:], "length"),
            (lambda data: data[:2] + b"\xff\xfc" + data[4:], "length"),
            # An odd length that is the datagram's: values would not be padded.
            (lambda data: data[:2] + b"\x00\x59" + data[4:] + b"\0", "length"),
        ],
        ids=[
            *("empty", "19 bytes", "top bits 01", "top bits 10", "cookie", "a byte more"),
            *("a word more", "a byte less", "a word less", "zero", "overrun", "odd"),
        ],
    )
    def test_a_flaw_is_refused_by_every_reader(
        self, change: Callable[[bytes], bytes], says: str
    ) -> None:
        flawed = change(REQUEST)
        for read in (header, Message.parse, username, lambda d: verify_integrity(d, PASSWORD)):
            with pytest.raises(StunError, match=says):
                read(flawed)

    @pytest.mark.parametrize(
        ("message_type", "message_class", "method"),
        [  # RFC 8489, section 5, figure 3
            (0x0001, MessageClass.REQUEST, 0x001),
            (0x0011, MessageClass.INDICATION, 0x001),
            (0x0101, MessageClass.SUCCESS, 0x001),
            (0x0111, MessageClass.ERROR, 0x001),
            (0x3EEF, MessageClass.REQUEST, 0xFFF),
            (0x0020, MessageClass.REQUEST, 0x010),
            (0x0200, MessageClass.REQUEST, 0x080),
        ],
        ids=hex,
    )
    def test_class_and_method_are_interleaved(
        self, message_type: int, message_class: MessageClass, method: int
    ) -> None:
        data = message_type.to_bytes(2, "big") + bytes(2) + REQUEST[4:HEADER_SIZE]
        assert header(data)[:2] == (message_class, method)
        assert Message(message_class, method, TRANSACTION).serialize() == data


USER = (Attribute.USERNAME, b"first:x")
DECOY = (Attribute.USERNAME, b"second:x")
SIGNATURE = (Attribute.MESSAGE_INTEGRITY, bytes(20))
SIGNATURE_SHA256 = (Attribute.MESSAGE_INTEGRITY_SHA256, bytes(32))
OTHER = (Attribute.SOFTWARE, b"abc")


class TestUsername:
    def test_the_first_duplicate_wins(self) -> None:
        data = request(OTHER, USER, DECOY)
        assert username(data) == Message.parse(data).get(Attribute.USERNAME) == b"first:x"

    @pytest.mark.parametrize("signature", [SIGNATURE, SIGNATURE_SHA256], ids=["SHA-1", "SHA-256"])
    def test_one_after_integrity_is_ignored(self, signature: tuple[int, bytes]) -> None:
        data = request(OTHER, signature, USER)
        with pytest.raises(StunError, match="no USERNAME"):
            username(data)
        assert Message.parse(data).get(Attribute.USERNAME) is None

    def test_fingerprint_after_integrity_still_counts(self) -> None:
        message = Message.parse(request(USER, SIGNATURE, OTHER, (Attribute.FINGERPRINT, bytes(4))))
        assert [kind for kind, _ in message.attributes] == [
            Attribute.USERNAME,
            Attribute.MESSAGE_INTEGRITY,
            Attribute.FINGERPRINT,
        ]

    @pytest.mark.parametrize("before", range(MAX_ATTRIBUTES_TO_USERNAME))
    def test_it_is_found_within_the_bound(self, before: int) -> None:
        assert username(request(*[OTHER] * before, USER)) == b"first:x"

    @pytest.mark.parametrize("more", [0, 1, 50])
    def test_it_is_not_looked_for_beyond_the_bound(self, more: int) -> None:
        data = request(*[OTHER] * (MAX_ATTRIBUTES_TO_USERNAME + more), USER)
        with pytest.raises(StunError, match="no USERNAME"):
            username(data)
        assert Message.parse(data).get(Attribute.USERNAME) == b"first:x"

    def test_what_follows_it_is_not_looked_at(self) -> None:
        overrun = request(USER, (Attribute.SOFTWARE, b""))[:-2] + b"\x00\x01"
        assert username(overrun) == b"first:x"
        with pytest.raises(StunError, match="0x8022 runs over the end"):
            Message.parse(overrun)

    @pytest.mark.parametrize("length", [1, 4, 0xFFFF])
    @pytest.mark.parametrize("kind", [Attribute.USERNAME, Attribute.SOFTWARE], ids=lambda k: k.name)
    def test_an_attribute_over_the_end_is_refused(self, kind: Attribute, length: int) -> None:
        data = request((kind, b""))[:-2] + length.to_bytes(2, "big")
        for read in (username, Message.parse):
            with pytest.raises(StunError, match="runs over the end"):
                read(data)

    @pytest.mark.parametrize(
        ("value", "ufrag"),
        [(b"a:b", b"a"), (b"a:b:c", b"a"), (b":b", b""), (b"a:", b"a"), (b"\0\xff:", b"\0\xff")],
    )
    def test_the_server_ufrag_ends_at_the_first_colon(self, value: bytes, ufrag: bytes) -> None:
        assert server_ufrag(request((Attribute.USERNAME, value))) == ufrag

    @pytest.mark.parametrize("value", [b"", b"nocolon"])
    def test_a_username_without_a_colon_names_nobody(self, value: bytes) -> None:
        with pytest.raises(StunError, match="no colon"):
            server_ufrag(request((Attribute.USERNAME, value)))

    @given(MESSAGES, st.booleans())
    def test_both_readers_agree(self, message: Message, signed: bool) -> None:
        data = message.serialize(PASSWORD if signed else None)
        within = message.attributes[:MAX_ATTRIBUTES_TO_USERNAME]
        expected = next((v for kind, v in within if kind == Attribute.USERNAME), None)
        if expected is None:
            with pytest.raises(StunError):
                username(data)
        else:
            assert username(data) == expected == Message.parse(data).get(Attribute.USERNAME)


class TestIntegrity:
    DATA = Message(MessageClass.REQUEST, BINDING, TRANSACTION, (OTHER, USER)).serialize(PASSWORD)

    # Without the type of FINGERPRINT, which is not covered: under another one it is no FINGERPRINT.
    @pytest.mark.parametrize("byte", sorted({*range(len(DATA))} - {len(DATA) - 8, len(DATA) - 7}))
    def test_no_changed_byte_goes_unnoticed(self, byte: int) -> None:
        for bit in range(8):
            data = bytearray(self.DATA)
            data[byte] ^= 1 << bit
            with pytest.raises(StunError):
                verify_integrity(bytes(data), PASSWORD)

    def test_it_must_be_there(self) -> None:
        with pytest.raises(IntegrityError, match="no MESSAGE-INTEGRITY"):
            verify_integrity(request(USER), PASSWORD)

    def test_the_fingerprint_may_be_missing(self) -> None:
        shorter = (len(self.DATA) - HEADER_SIZE - 8).to_bytes(2, "big")
        verify_integrity(self.DATA[:2] + shorter + self.DATA[4:-8], PASSWORD)

    def test_a_wrong_fingerprint_is_named(self) -> None:
        with pytest.raises(IntegrityError, match="FINGERPRINT"):
            verify_integrity(self.DATA[:-1] + bytes([self.DATA[-1] ^ 1]), PASSWORD)

    @pytest.mark.parametrize("size", [0, 16, 19, 21, 32])
    def test_one_of_another_size_does_not_verify(self, size: int) -> None:
        with pytest.raises(IntegrityError, match="MESSAGE-INTEGRITY"):
            verify_integrity(request(USER, (Attribute.MESSAGE_INTEGRITY, bytes(size))), PASSWORD)

    @pytest.mark.parametrize("first", [True, False], ids=["valid first", "valid last"])
    def test_only_the_first_one_counts(self, first: bool) -> None:
        valid = (Attribute.MESSAGE_INTEGRITY, self.DATA[-28:-8])
        data = request(OTHER, USER, *([valid, SIGNATURE] if first else [SIGNATURE, valid]))
        if first:
            verify_integrity(data, PASSWORD)
        else:
            with pytest.raises(IntegrityError, match="does not verify"):
                verify_integrity(data, PASSWORD)


class TestSha256:
    """RFC 8489, section 14.6."""

    MESSAGE = Message(MessageClass.REQUEST, BINDING, TRANSACTION, (OTHER, USER))
    DATA = MESSAGE.serialize(PASSWORD, Attribute.MESSAGE_INTEGRITY_SHA256)

    def test_it_verifies_with_its_password_only(self) -> None:
        verify_integrity(self.DATA, PASSWORD)
        with pytest.raises(IntegrityError, match="MESSAGE-INTEGRITY-SHA256 does not verify"):
            verify_integrity(self.DATA, b"another")

    def test_it_is_the_hash_of_what_stands_before_it(self) -> None:
        end = len(self.DATA) - 8 - 36
        length = (end + 36 - HEADER_SIZE).to_bytes(2, "big")
        covered = self.DATA[:2] + length + self.DATA[4:end]
        expected = hmac.new(PASSWORD, covered, hashlib.sha256).digest()
        assert self.DATA[end + 4 : end + 36] == expected

    @pytest.mark.parametrize("size", [0, 4, 12, 15, 16, 20, 28, 31, 36])
    def test_it_may_be_cut_to_sixteen_bytes(self, size: int) -> None:
        head = Message(MessageClass.REQUEST, BINDING, TRANSACTION, (USER,)).serialize()
        length = (len(head) - HEADER_SIZE + 4 + (size + 3 & ~3)).to_bytes(2, "big")
        covered = head[:2] + (len(head) - HEADER_SIZE + 4 + size).to_bytes(2, "big") + head[4:]
        value = hmac.new(PASSWORD, covered, hashlib.sha256).digest()[:size].ljust(size, b"x")
        attribute = (0x001C).to_bytes(2, "big") + size.to_bytes(2, "big") + value
        data = head[:2] + length + head[4:] + attribute + bytes(-size % 4)
        if size in (16, 20, 28):
            verify_integrity(data, PASSWORD)
        else:
            with pytest.raises(IntegrityError, match="SHA256"):
                verify_integrity(data, PASSWORD)


class TestGarbage:
    """Nothing that comes from the network raises anything but the documented errors."""

    READERS = (header, Message.parse, username, server_ufrag)

    def read_all(self, data: bytes) -> None:
        for read in self.READERS:
            try:
                read(data)
            except StunError:
                continue
        try:
            verify_integrity(data, PASSWORD)
        except StunError:
            return
        assert Message.parse(data).get(Attribute.MESSAGE_INTEGRITY) is not None

    @given(st.binary(max_size=200))
    def test_random_bytes(self, data: bytes) -> None:
        self.read_all(data)

    @given(st.binary(max_size=200).map(lambda body: body[: len(body) & ~3]))
    def test_random_attributes_under_a_valid_header(self, body: bytes) -> None:
        self.read_all(REQUEST[:2] + len(body).to_bytes(2, "big") + REQUEST[4:HEADER_SIZE] + body)

    @given(
        st.sampled_from(list(VECTORS.values())),
        st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), min_size=1, max_size=6),
    )
    def test_mutated_messages(self, data: bytes, changes: list[tuple[int, int]]) -> None:
        mutated = bytearray(data)
        for at, value in changes:
            mutated[at % len(mutated)] = value
        self.read_all(bytes(mutated))

    @pytest.mark.parametrize(
        ("value", "says"),
        [
            (b"", "too short"),
            (b"\0\1\0", "too short"),
            (b"\0\1\0\0", "family or size"),
            (b"\0\1\0\0" + bytes(16), "family or size"),
            (b"\0\2\0\0" + bytes(4), "family or size"),
            (b"\0\3\0\0" + bytes(4), "family or size"),
        ],
        ids=["empty", "3 bytes", "no address", "IPv4 of 16", "IPv6 of 4", "family 3"],
    )
    def test_a_mapped_address_of_another_shape(self, value: bytes, says: str) -> None:
        with pytest.raises(StunError, match=says):
            unxor_address(value, TRANSACTION)
