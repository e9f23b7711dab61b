from ipaddress import ip_network

import pytest

from relay.config.networks import PRIVATE, is_within


@pytest.mark.parametrize(
    ("host", "private"),
    [
        ("10.1.2.3", True),
        ("100.64.0.1", True),
        ("fd00::1", True),
        ("203.0.113.5", False),
        ("127.0.0.1", False),
        ("169.254.169.254", False),
        ("2001:db8::1", False),
        ("localhost", False),
    ],
)
def test_private_addresses(host: str, private: bool) -> None:
    assert is_within(host, PRIVATE) is private


def test_in_no_network_is_nobody() -> None:
    assert not is_within("10.0.0.1", ())
    assert is_within("10.0.0.1", [ip_network("10.0.0.1")])
