"""The sender's plan, from the flows."""

import pytest

from relay.wire.endpoint import Endpoint
from tests.bench.compare.testbed.system import Leg
from tests.bench.compare.traffic import layout
from tests.bench.compare.traffic.plan import MOST_PAYLOAD, frame_size, make_plan, pack_legs
from tests.lab.errors import LabError

SOURCE, DESTINATION = Endpoint("198.18.0.1", 10_000), Endpoint("198.18.255.10", 3478)


def test_legs_are_packed_one_after_the_other() -> None:
    legs = [Leg(SOURCE, DESTINATION), Leg(DESTINATION, SOURCE, b"\x40\x01")]
    assert bytes(pack_legs(legs, 2, 160)) == (
        bytes([198, 18, 0, 1, 198, 18, 255, 10]) + b"\x27\x10\x0d\x96" + bytes(4)
    ) + (bytes([198, 18, 255, 10, 198, 18, 0, 1]) + b"\x0d\x96\x27\x10" + b"\x40\x01\x00\xa0")


@pytest.mark.parametrize(("prefixed", "header"), [(False, 0), (True, 4)])
def test_lengths_count_what_precedes_the_payload(prefixed: bool, header: int) -> None:
    plan = make_plan(bytes(range(12)), 1, 160, prefixed=prefixed)
    assert bytes(plan.macs) == bytes(range(12))
    assert int.from_bytes(plan.udp_length, "big") == 8 + header + 160
    assert int.from_bytes(plan.ip_length, "big") == 20 + 8 + header + 160
    assert frame_size(160, prefixed=prefixed) == 14 + 20 + 8 + header + 160


@pytest.mark.parametrize("flows", [0, layout.MAX_FLOWS + 1])
def test_there_are_flows_but_not_too_many(flows: int) -> None:
    with pytest.raises(LabError, match="1 to 1,000,000 flows"):
        make_plan(bytes(12), flows, 160, prefixed=False)


@pytest.mark.parametrize("payload", [0, 31, MOST_PAYLOAD + 1])
def test_a_payload_holds_the_stamp_and_fits_a_frame(payload: int) -> None:
    with pytest.raises(LabError, match="Payloads have 32 to 1400 bytes"):
        make_plan(bytes(12), 1, payload, prefixed=False)
