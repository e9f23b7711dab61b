import socket
from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.wire.endpoint import PACKED_SIZE, Endpoint, canonical_host
from relay.wire.errors import EndpointError

PORTS = st.integers(0, 0xFFFF)
# Addresses as 16 bytes: any, IPv4-mapped, and with runs of zeros, which text forms write specially.
ADDRESSES = st.one_of(
    st.binary(min_size=16, max_size=16),
    st.binary(min_size=4, max_size=4).map(lambda tail: bytes(10) + b"\xff\xff" + tail),
    st.binary(min_size=4, max_size=4).map(lambda tail: bytes(12) + tail),
    st.lists(st.sampled_from([0, 1, 0xDB8, 0xFFFF]), min_size=8, max_size=8).map(
        lambda groups: b"".join(group.to_bytes(2, "big") for group in groups)
    ),
)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("203.0.113.10:3478", "203.0.113.10", 3478),
        ("0.0.0.0:1", "0.0.0.0", 1),
        ("[2001:db8::1]:65535", "2001:db8::1", 65535),
        ("[2001:DB8:0:0:0:0:0:1]:5000", "2001:db8::1", 5000),
        ("[::]:9", "::", 9),
        # One peer has one spelling (coturn CVE-2026-27624 got past a check of the other one).
        ("[::ffff:127.0.0.1]:80", "127.0.0.1", 80),
        ("[::FFFF:7f00:1]:80", "127.0.0.1", 80),
        ("[0:0:0:0:0:ffff:169.254.0.1]:80", "169.254.0.1", 80),
    ],
)
def test_parse_gives_the_canonical_form(text: str, host: str, port: int) -> None:
    assert Endpoint.parse(text) == (host, port)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "203.0.113.10",
        "203.0.113.10:",
        ":3478",
        "2001:db8::1:3478",
        "[2001:db8::1]",
        "[2001:db8::1:3478",
        "[]:3478",
        "[[::1]]:80",
        "example.org:3478",
        "203.0.113:3478",
        "203.0.113.010:3478",
        "203.0.113.256:3478",
        "[fe80::1%eth0]:3478",
        "[::ffff:192.0.2.1%1]:3478",
        "203.0.113.10:0",
        "203.0.113.10:65536",
        "203.0.113.10:-1",
        "203.0.113.10:+80",
        "203.0.113.10: 80",
        "203.0.113.10:80\n",
        "203.0.113.10:8_0",
        "203.0.113.10:٣٤",
        "203.0.113.10\0:80",
        "203.0.113.10:" + "9" * 5000,
    ],
    ids=lambda text: repr(text[:30]),
)
def test_parse_refuses_what_is_no_address(text: str) -> None:
    with pytest.raises(EndpointError):
        Endpoint.parse(text)


@given(st.text(alphabet="0123456789abf.:[]%/ \n٣", max_size=50) | st.text(max_size=50))
def test_parse_raises_its_own_error_or_reads_something_canonical(text: str) -> None:
    try:
        endpoint = Endpoint.parse(text)
    except EndpointError:
        return
    assert Endpoint.parse(str(endpoint)) == endpoint


@given(ADDRESSES, PORTS)
def test_packed_and_back(address: bytes, port: int) -> None:
    packed = address + port.to_bytes(2, "big")
    endpoint = Endpoint.unpack(packed)
    assert endpoint.packed == packed
    assert endpoint == (canonical_host(endpoint.host), port)


@given(ADDRESSES, st.integers(1, 0xFFFF))
def test_text_and_back(address: bytes, port: int) -> None:
    endpoint = Endpoint.unpack(address + port.to_bytes(2, "big"))
    assert Endpoint.parse(str(endpoint)) == endpoint


@given(ADDRESSES, PORTS)
def test_what_a_socket_reports_is_the_same_endpoint(address: bytes, port: int) -> None:
    # The C library writes ::192.0.2.1 where Python writes ::c000:201, and more of that kind.
    reported = (socket.inet_ntop(socket.AF_INET6, address), port, 0, 0)
    assert Endpoint.of(reported) == Endpoint.unpack(address + port.to_bytes(2, "big"))


@pytest.mark.parametrize(
    ("reported", "expected"),
    [
        (("192.0.2.1", 5000), "192.0.2.1:5000"),
        (("2001:db8::1", 5000, 0, 0), "[2001:db8::1]:5000"),
        (("::ffff:192.0.2.1", 5000, 0, 0), "192.0.2.1:5000"),
        (("::1", 5000, 0, 0), "[::1]:5000"),
    ],
)
def test_of_takes_what_recvfrom_returns(reported: tuple[str, int], expected: str) -> None:
    assert str(Endpoint.of(reported)) == expected


def test_of_refuses_a_link_local_address_with_its_zone() -> None:
    with pytest.raises(EndpointError, match="zone"):
        Endpoint.of(("fe80::1%eth0", 5000, 0, 2))


def test_an_ipv4_address_is_packed_as_a_mapped_one_in_network_order() -> None:
    packed = Endpoint("203.0.113.10", 3478).packed
    assert packed.hex() == "00000000000000000000ffff" + "cb00710a" + "0d96"


def test_an_ipv6_address_is_packed_as_it_is() -> None:
    packed = Endpoint("2001:db8::1", 5000).packed
    assert packed == IPv6Address("2001:db8::1").packed + b"\x13\x88"


@pytest.mark.parametrize("size", [0, PACKED_SIZE - 1, PACKED_SIZE + 1])
def test_unpack_refuses_another_size(size: int) -> None:
    with pytest.raises(EndpointError, match="18 bytes"):
        Endpoint.unpack(bytes(size))


@pytest.mark.parametrize(
    ("text", "family"),
    [("192.0.2.1:1", socket.AF_INET), ("[::1]:1", socket.AF_INET6)],
    ids=["IPv4", "IPv6"],
)
def test_a_socket_of_its_family_takes_it_as_it_is(text: str, family: socket.AddressFamily) -> None:
    endpoint = Endpoint.parse(text)
    assert endpoint.family is family
    with socket.socket(endpoint.family, socket.SOCK_DGRAM) as udp:
        udp.bind(Endpoint("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
        assert Endpoint.of(udp.getsockname()).family is family


@pytest.mark.parametrize(
    ("host", "one"),
    [
        ("203.0.113.10", True),
        ("10.0.0.5", True),
        ("127.0.0.1", True),
        ("2001:db8::1", True),
        ("fd00::5", True),
        ("0.0.0.0", False),
        ("::", False),
        ("224.0.0.1", False),
        ("ff02::1", False),
        ("169.254.169.254", False),
        ("fe80::1", False),
        ("255.255.255.255", False),
    ],
)
def test_some_addresses_are_those_of_many_hosts_or_of_another_one_everywhere(
    host: str, one: bool
) -> None:
    assert Endpoint(host, 3478).is_one_host is one


def test_the_addresses_that_all_flows_have_are_read_once() -> None:
    canonical_host.cache_clear()
    for port in range(1, 101):
        assert Endpoint.parse(f"192.0.2.1:{port}").host == "192.0.2.1"
    assert canonical_host.cache_info().misses == 1
