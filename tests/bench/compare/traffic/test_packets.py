"""Packets as the comparison builds them, read by another part's parser."""

import pytest

from relay.wire.endpoint import Endpoint
from tests.bench.compare.traffic import packets
from tests.lab import frame

SOURCE, DESTINATION = Endpoint("198.18.0.1", 10_000), Endpoint("198.19.255.2", 5000)


@pytest.mark.parametrize("payload", [b"", b"x", bytes(range(160)), b"\xff" * 1200])
def test_a_packet_is_valid(payload: bytes) -> None:
    built = packets.frame(b"dst-mc", b"src-mc", packets.packet(SOURCE, DESTINATION, payload))
    assert built.startswith(b"dst-mcsrc-mc\x08\x00")
    assert frame.parse(built) == frame.Datagram(SOURCE, DESTINATION, payload, intact=True)


def test_a_checksum_of_zero_is_sent_as_all_ones() -> None:
    payload = next(
        data
        for data in (number.to_bytes(2, "big") for number in range(65_536))
        if packets.packet(SOURCE, DESTINATION, data)[26:28] == b"\xff\xff"
    )
    built = packets.frame(bytes(6), bytes(6), packets.packet(SOURCE, DESTINATION, payload))
    datagram = frame.parse(built)
    assert datagram is not None
    assert datagram.intact
