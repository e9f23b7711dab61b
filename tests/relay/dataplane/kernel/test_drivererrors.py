"""What drivers say when they refuse native XDP, and what helps."""

import pytest

from relay.dataplane.kernel.drivererrors import remedy


@pytest.mark.parametrize(
    ("words", "helps"),
    [
        ("Can't set XDP while host is implementing GRO_HW/CSUM, disable GRO_HW/CSUM first", "-K"),
        ("can't set XDP while HW-GRO/LRO is on, disable them first", "ethtool -K eth9 lro off"),
        (
            "the Rx/Tx channel count should be at most half of the maximum allowed channel count",
            "ethtool -L eth9",
        ),
        ("XDP expects number of rx queues not less than peer tx queues", "ethtool -L eth9"),
        ("MTU too large to enable XDP", "smaller MTU"),
        ("veth: Peer MTU is too large to set XDP", "smaller MTU"),
        ("XDP expects header/data in single page, any_header_sg required", "smaller MTU"),
        ("Insufficient headroom", "only generic mode"),
        ("Operation not supported", "no native XDP"),
        ("Out of memory during set-up", "dmesg"),  # no ring
        ("Invalid argument", "dmesg"),
    ],
)
def test_advice(words: str, helps: str) -> None:
    assert helps in remedy("eth9", words)
