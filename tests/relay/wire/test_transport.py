"""Transports as SDP writes them, and candidates."""

import pytest

from relay.wire.endpoint import Endpoint
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
