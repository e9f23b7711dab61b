import re
from ipaddress import ip_network

import pytest

from relay.config.networks import PRIVATE
from relay.config.targets import Targets, all_loopback, parse_target
from relay.wire.endpoint import Endpoint
from relay.wire.errors import EndpointError

ANYWHERE = Targets((ip_network("0.0.0.0/0"), ip_network("::/0")))
# Each stands for an address of this host, of many hosts or of none; the first are those that got
# past coturn's deny-lists, one after the other.
SPELLINGS = [
    "0.0.0.0",
    "[::]",
    "[::1]",
    "127.0.0.1",
    "127.1.2.3",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::FFFF:7F00:0001]",
    "[0:0:0:0:0:ffff:127.0.0.1]",
    "[::ffff:0.0.0.0]",
    "[::ffff:10.0.0.5]",
    "[::127.0.0.1]",
    "[::7f00:1]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b::10.0.0.5]",
    "[64:ff9b:1::10.0.0.5]",
    "[2002:7f00:1::1]",
    "[2001:0:7f00:1::1]",
    "[0:0:0:0:0:0:0:1]",
    "0.0.0.1",
    "169.254.169.254",
    "[fe80::1]",
    "[fe80::1%eth0]",
    "[::1%lo]",
    "224.0.0.1",
    "239.255.255.250",
    "[ff02::1]",
    "[::ffff:224.0.0.1]",
    "255.255.255.255",
    "[::ffff:255.255.255.255]",
    "127.1",
    "0177.0.0.1",
    "0x7f.0.0.1",
    "0x7f000001",
    "2130706433",
    "017700000001",
    "127.0.0.01",
    "\uff11\uff12\uff17.0.0.1",
    "127。0。0。1",
    "localhost",
    "[::ffff:127.0.0.1",
    "::1",
    " 127.0.0.1",
    "127.0.0.1\0",
]


@pytest.mark.parametrize("host", SPELLINGS)
@pytest.mark.parametrize("targets", [Targets(), Targets(None), ANYWHERE], ids=str)
def test_no_spelling_leads_to_this_host_or_to_none(host: str, targets: Targets) -> None:
    try:
        target = parse_target(f"{host}:5000")
    except EndpointError:
        return
    assert targets.refusal(target) is not None


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("0.0.0.0:1", "0.0.0.0:1 is the unspecified address: name the address of one host"),
        ("[ff05::2]:1", "is a multicast address"),
        ("169.254.1.1:1", "is a link-local address"),
        ("255.255.255.255:1", "is the broadcast address"),
        ("0.1.2.3:1", "is in 0.0.0.0/8"),
        ("[64:ff9b::1]:1", "is a NAT64 address"),
        ("[2002::1]:1", "is a 6to4 address"),
        ("127.0.0.1:1", "is on the loopback, .*--allow 127.0.0.0/8$"),
        ("[::1]:1", "is on the loopback, .*--allow ::1/128$"),
        ("192.0.2.2:1", "192.0.2.2:1 is in none of the allowed networks: add one with --allow"),
        ("10.255.255.255:1", "is the broadcast address of an allowed network"),
    ],
)
def test_what_is_refused_is_told_in_a_sentence(address: str, says: str) -> None:
    refusal = Targets().refusal(Endpoint.parse(address))
    assert refusal is not None
    assert re.search(says, refusal)


@pytest.mark.parametrize(
    "address",
    ["10.0.0.5:5000", "172.31.0.1:1", "192.168.255.1:65535", "100.64.0.1:5000", "[fd00::1]:5000"],
)
def test_hosts_of_private_networks_are_allowed_by_default(address: str) -> None:
    assert Targets().refusal(parse_target(address)) is None
    assert Targets(PRIVATE).refusal(parse_target(address)) is None


def test_anybody_who_is_no_special_one_is_allowed_where_no_network_is_named() -> None:
    for address in ("192.0.2.2:5000", "8.8.8.8:5000", "[2001:db8::1]:5000"):
        assert Targets(None).refusal(parse_target(address)) is None
        assert ANYWHERE.refusal(parse_target(address)) is None


def test_the_loopback_is_allowed_by_its_own_name_alone() -> None:
    here, there = parse_target("127.0.0.1:5000"), parse_target("[::1]:5000")
    assert Targets((ip_network("127.0.0.0/8"),)).refusal(here) is None
    assert Targets((ip_network("127.0.0.1/32"),)).refusal(here) is None
    assert Targets((ip_network("127.0.0.0/8"),)).refusal(there) is not None
    assert Targets((ip_network("::1/128"),)).refusal(there) is None
    for networks in (None, PRIVATE):
        assert Targets(networks, loopback=True).refusal(here) is None
    assert ANYWHERE.refusal(here) is not None


def test_a_relay_never_talks_to_itself() -> None:
    vip, upstream = Endpoint("10.0.0.1", 3478), "10.0.0.2"
    own = Targets(
        vips=frozenset({vip}), upstreams=frozenset({upstream}), ports=(range(20_000, 30_000),)
    )
    assert "is a VIP of this relay" in str(own.refusal(vip))
    assert "is an upstream address" in str(own.refusal(Endpoint(upstream, 20_000)))
    assert "is an upstream address" in str(own.refusal(Endpoint(upstream, 29_999)))
    # A transceiver on the relay's host, beside it.
    assert own.refusal(Endpoint(upstream, 30_000)) is None
    assert own.refusal(Endpoint(vip.host, 5000)) is None


def test_other_spellings_of_a_good_address_become_one() -> None:
    assert parse_target("[FD00:0:0::0001]:5000") == Endpoint("fd00::1", 5000)
    with pytest.raises(EndpointError, match=r"is an IPv4-mapped address: write 10\.0\.0\.5:5000"):
        parse_target("[::ffff:10.0.0.5]:5000")


def test_where_only_this_host_can_be_reached() -> None:
    assert all_loopback(["127.0.0.1", "::1"])
    assert not all_loopback(["127.0.0.1", "192.0.2.1"])
