"""Transports as SDP writes them, and candidates."""

import pytest

from relay.wire.endpoint import Endpoint
from relay.wire.errors import EndpointError
from relay.wire.transport import Candidate, Transport

ADDRESS = Endpoint("203.0.113.10", 3478)


def test_transports_are_written_as_in_sdp() -> None:
    assert [str(each) for each in Transport] == ["udp", "tcp"]
    assert Transport("tcp") is Transport.TCP
    with pytest.raises(ValueError, match="sctp"):
        Transport("sctp")


def test_a_candidate_is_of_udp_unless_it_says_otherwise() -> None:
    assert Candidate(ADDRESS) == Candidate(ADDRESS, Transport.UDP)
    assert Candidate(ADDRESS) != Candidate(ADDRESS, Transport.TCP)


@pytest.mark.parametrize("transport", Transport)
def test_a_candidate_as_plain_data(transport: Transport) -> None:
    candidate = Candidate(ADDRESS, transport)
    plain = {"transport": str(transport), "address": "203.0.113.10:3478"}
    assert candidate.dump() == plain
    assert Candidate.load(plain) == candidate


@pytest.mark.parametrize(
    "plain",
    [
        *(None, [], "203.0.113.10:3478", {}),
        {"address": "203.0.113.10:3478"},
        {"transport": "sctp", "address": "203.0.113.10:3478"},
        {"transport": ["udp"], "address": "203.0.113.10:3478"},
        {"transport": "udp", "address": 3478},
        {"transport": "udp", "address": "203.0.113.10"},
        {"transport": "udp", "address": "203.0.113.10:3478", "priority": 1},
    ],
)
def test_other_data_is_none(plain: object) -> None:
    with pytest.raises(EndpointError):
        Candidate.load(plain)
