"""STUN responses, read back with the parser and, for integrity, with aioice's."""

import struct
from collections.abc import Callable

import aioice.stun
import pytest

from relay.wire.endpoint import Endpoint
from relay.wire.stun import BINDING, Attribute, Message, MessageClass, unxor_address
from transceiver import checks
from transceiver.plan import Credentials

CLIENT = Endpoint("203.0.113.99", 50000)

Check = Callable[..., bytes]


@pytest.fixture
def request_(check: Check) -> Message:
    return Message.parse(check())


@pytest.mark.parametrize("client", [CLIENT, Endpoint("2001:db8::7", 1024)])
def test_a_success_response_carries_the_client_address(
    request_: Message, credentials: Credentials, client: Endpoint
) -> None:
    password = credentials.password.encode()
    data = checks.success(request_, client, password)
    response = Message.parse(data)
    assert response.message_class is MessageClass.SUCCESS
    assert response.transaction_id == request_.transaction_id
    value = response.get(Attribute.XOR_MAPPED_ADDRESS)
    assert value is not None
    assert unxor_address(value, response.transaction_id) == client
    parsed = aioice.stun.parse_message(data)
    assert parsed.attributes["XOR-MAPPED-ADDRESS"] == (client.host, client.port)
    assert parsed.check_message_integrity(password)
    assert not parsed.check_message_integrity(b"another-password-of-24-c")


def test_an_error_response_carries_code_and_reason_and_is_signed(
    request_: Message, credentials: Credentials
) -> None:
    password = credentials.password.encode()
    parsed = aioice.stun.parse_message(checks.error(request_, 487, password))
    assert parsed.message_class is aioice.stun.Class.ERROR
    assert parsed.transaction_id == request_.transaction_id
    assert parsed.attributes["ERROR-CODE"] == (487, "Role Conflict")
    assert parsed.check_message_integrity(password)


def test_unknown_attributes_are_listed_in_a_420_response(check: Check) -> None:
    extra = ((0x7001, b""), (0x8001, b""), (0x7002, b"1234"), (0x7001, b""))
    request = Message.parse(check(*extra))
    assert checks.unknown_attributes(request) == [0x7001, 0x7002]
    response = Message.parse(checks.error(request, 420, b"password"))
    value = response.get(Attribute.UNKNOWN_ATTRIBUTES)
    assert value is not None
    assert struct.unpack("!2H", value) == (0x7001, 0x7002)


def test_what_connectivity_checks_carry_is_known(check: Check) -> None:
    assert checks.unknown_attributes(Message.parse(check(nominate=True))) == []


def test_a_correct_fingerprint_is_valid(check: Check) -> None:
    data = check()
    request = Message.parse(data)
    assert request.get(Attribute.FINGERPRINT) is not None
    assert checks.fingerprint_valid(request, data)


def test_a_damaged_fingerprint_is_not(check: Check) -> None:
    data = bytearray(check())
    data[-1] ^= 1
    assert not checks.fingerprint_valid(Message.parse(bytes(data)), bytes(data))


def test_a_fingerprint_before_another_attribute_is_not(check: Check) -> None:
    data = check()
    length = struct.pack("!H", len(data) - 20 + 4)
    longer = data[:2] + length + data[4:] + struct.pack("!HH", 0x8001, 0)
    request = Message.parse(longer)
    assert request.get(Attribute.FINGERPRINT) is not None
    assert not checks.fingerprint_valid(request, longer)


def test_a_request_without_a_fingerprint_is_valid() -> None:
    request = Message(MessageClass.REQUEST, BINDING, bytes(12), ())
    data = struct.pack("!HHI", 1, 0, 0x2112A442) + bytes(12)
    assert checks.fingerprint_valid(request, data)
