from ipaddress import IPv4Network, ip_network

import pytest

from signaling.client import LOOPBACK, client_of, region_of


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("192.0.2.7", [], "192.0.2.7"),
        ("2001:db8:1:2:3::4", [], "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", [], "192.0.2.7"),
        # Somebody who is no proxy says what he likes.
        ("192.0.2.7", ["198.51.100.1"], "192.0.2.7"),
        ("127.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("::1", ["2001:db8::1"], "2001:db8::/64"),
        # What stands before the nearest proxy's word may be made up.
        ("127.0.0.1", ["203.0.113.9, 198.51.100.1"], "198.51.100.1"),
        ("127.0.0.1", ["203.0.113.9", "198.51.100.1"], "198.51.100.1"),
        ("127.0.0.1", ["203.0.113.9, 10.1.2.3"], "203.0.113.9"),
        ("127.0.0.1", ["junk, 10.1.2.3"], "10.1.2.3"),
        ("127.0.0.1", ["junk"], "127.0.0.1"),
        ("127.0.0.1", ["", ",,"], "127.0.0.1"),
        ("", ["198.51.100.1"], ""),
        # With the client's port, as Azure's Application Gateway and AWS's load balancer write it.
        ("127.0.0.1", ["198.51.100.1:51234"], "198.51.100.1"),
        ("127.0.0.1", ["[2001:db8::1]:443"], "2001:db8::/64"),
        ("127.0.0.1", ["[2001:db8::1]"], "2001:db8::/64"),
        ("127.0.0.1", ["[::ffff:198.51.100.1]:443"], "198.51.100.1"),
        ("127.0.0.1", ["203.0.113.9:5, 10.1.2.3:443"], "203.0.113.9"),
        ("127.0.0.1", ["2001:db8::1:443"], "2001:db8::/64"),
    ],
)
def test_the_client_is_whom_the_last_trusted_proxy_talks_to(
    peer: str, forwarded: list[str], client: str
) -> None:
    proxies = (*LOOPBACK, IPv4Network("10.0.0.0/8"))
    assert client_of(peer, forwarded, proxies) == client


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "unknown",
        "198.51.100.1:",
        "198.51.100.1:http",
        "[2001:db8::1",
        "[]:443",
        ":443",
        "[:443",
    ],
)
def test_what_a_proxy_adds_that_is_no_address_is_told(entry: str) -> None:
    told = []
    proxies = (*LOOPBACK, IPv4Network("10.0.0.0/8"))
    chain = [f"198.51.100.1, {entry}, 10.1.2.3"]
    assert client_of("127.0.0.1", chain, proxies, lambda *each: told.append(each)) == "10.1.2.3"
    assert told == [("10.1.2.3", entry)]


def test_what_a_client_has_made_up_is_nothing_to_tell_of() -> None:
    told = []
    chain = ["junk, 198.51.100.1"]
    assert client_of("::1", chain, LOOPBACK, lambda *each: told.append(each)) == "198.51.100.1"
    assert client_of("192.0.2.7", ["junk"], LOOPBACK, lambda *each: told.append(each))
    assert not told


def test_a_long_chain_is_read_to_its_end() -> None:
    chain = ", ".join(["192.0.2.7"] + ["10.0.0.1"] * 5000)
    assert client_of("10.0.0.1", [chain], (ip_network("10.0.0.0/8"),)) == "192.0.2.7"


@pytest.mark.parametrize(
    ("peer", "told", "region"),
    [
        ("127.0.0.1", ["eu-west-1"], "eu-west-1"),
        ("10.0.0.9", [" DE "], "DE"),
        ("::1", ["a" * 32], "a" * 32),
        ("127.0.0.1", [], None),
        # Somebody who is no proxy says what he likes.
        ("192.0.2.7", ["eu-west-1"], None),
        ("", ["eu-west-1"], None),
        # Which one is the proxy's?
        ("127.0.0.1", ["eu-west-1", "us-east-1"], None),
        ("127.0.0.1", ["eu, us"], None),
        ("127.0.0.1", [""], None),
        ("127.0.0.1", ["a" * 33], None),
        ("127.0.0.1", ["\N{LATIN SMALL LETTER A WITH DIAERESIS}"], None),
        ("127.0.0.1", ["<b>"], None),
    ],
)
def test_a_region_is_what_a_trusted_proxy_says(
    peer: str, told: list[str], region: str | None
) -> None:
    assert region_of(peer, told, (*LOOPBACK, IPv4Network("10.0.0.0/8"))) == region
