"""What people type to see some flows."""

import pytest

from relay.admin.typedfilter import ALL, FlowFilter
from relay.wire.endpoint import Endpoint
from relay.wire.route import Target

TRANSCEIVER, TARGET = "198.51.100.2:5000", Target(1, 20, 3).packed


def fits(text: str, client: str) -> bool:
    packed = Endpoint.parse(client).packed
    return all(
        word.fits_client(packed) or word.fits_transceiver(TRANSCEIVER, TARGET)
        for word in FlowFilter.parse(text).words
    )


@pytest.mark.parametrize(
    ("text", "client", "does"),
    [
        ("", "10.1.2.3:40000", True),
        ("10.1", "10.1.2.3:40000", True),
        ("10.1.", "10.1.2.3:40000", True),
        ("10.1", "10.11.2.3:40000", False),
        ("10.1.2.3", "10.1.2.3:40000", True),
        ("10.1.2.0/30", "10.1.2.3:40000", True),
        ("10.1.2.0/31", "10.1.2.3:40000", False),
        ("10.1.2.3:40000", "10.1.2.3:40000", True),
        ("10.1.2.3:40001", "10.1.2.3:40000", False),
        ("2001:db8", "[2001:db8:1::5]:40000", True),
        ("2001:DB8::/32", "[2001:db8:1::5]:40000", True),
        ("2001:db8::/33", "[2001:db8:8000::5]:40000", False),
        ("2001:db9", "[2001:db8:1::5]:40000", False),
        ("[2001:db8:1::5]:40000", "[2001:db8:1::5]:40000", True),
        ("::ffff:10.1.2.3", "10.1.2.3:40000", True),
        ("198.51.100.2:5", "10.1.2.3:40000", True),
        ("198.51.100.3", "10.1.2.3:40000", False),
        ("1/20.3", "10.1.2.3:40000", True),
        ("1/20.4", "10.1.2.3:40000", False),
        ("99999/99999999.999", "10.1.2.3:40000", False),
        ("10.1 1/20.3", "10.1.2.3:40000", True),
        ("10.2 1/20.3", "10.1.2.3:40000", False),
        ("nonsense", "10.1.2.3:40000", False),
        ("999.1", "10.1.2.3:40000", False),
        ("1.2.3.4.5", "10.1.2.3:40000", False),
    ],
)
def test_a_flow_fits_by_its_client_or_its_transceiver(text: str, client: str, does: bool) -> None:
    assert fits(text, client) is does


def test_words_of_state_and_direction() -> None:
    found = FlowFilter.parse("Pending one-way 10.1")
    assert (found.state, found.one_way, [word.text for word in found.words]) == (
        *("pending", True),
        ["10.1"],
    )
    assert FlowFilter.parse("oneway").one_way
    assert FlowFilter.parse("  ") == ALL
    assert ALL.is_all
    assert not found.is_all
