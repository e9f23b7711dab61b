"""What a flow is called by."""

import pytest

from relay.admin.flowentry import id_of
from relay.admin.flowname import parse_name
from relay.errors import ConfigError
from relay.wire.route import decode
from tests.relay.admin.test_flowfilter import addresses

FLOW = addresses()


@pytest.mark.parametrize(
    "name",
    [
        *("203.0.113.2:40000", "203.0.113.2", "192.0.2.1:20417", "20417"),
        *(id_of(FLOW), id_of(FLOW)[:6], decode(FLOW.route).ufrag),
    ],
)
def test_it_is_called_so(name: str) -> None:
    assert parse_name(name)(FLOW)


@pytest.mark.parametrize(
    "name",
    ["203.0.113.2:40001", "203.0.113.3", "192.0.2.1:20418", "20418", "0123456789ab", "A" * 28],
)
def test_another_one_is_not(name: str) -> None:
    assert not parse_name(name)(FLOW)


def test_an_ipv6_client() -> None:
    flow = addresses("[2001:db8::2]:40000")
    assert parse_name("2001:db8::2")(flow)
    assert not parse_name("2001:db8::3")(flow)


@pytest.mark.parametrize("name", ["", "???", "70000", "0", "abcde", "203.0.113.2:0"])
def test_what_names_no_flow_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="names no flow"):
        parse_name(name)
