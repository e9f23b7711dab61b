"""The NAT of a line gives ports, forgets them, and leaves checksums right."""

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import ARP, Ether

from relay.wire.endpoint import Endpoint
from tests.lab.frame import Datagram, parse
from tests.lab.line.translation import Translation

MAC = "02:00:00:00:00:01"  # given, so that nobody is asked for it
CLIENT, VIP = Endpoint("203.0.113.2", 40000), Endpoint("203.0.113.10", 3478)


def frame(source: Endpoint, destination: Endpoint) -> bytes:
    packet = IP(src=source.host, dst=destination.host) / UDP(
        sport=source.port, dport=destination.port
    )
    return bytes(Ether(dst=MAC) / packet / b"voice")


def passed(nat: Translation, *way: Endpoint, outwards: bool) -> Datagram | None:
    translated = nat.apply(frame(*way), outwards=outwards)
    datagram = None if translated is None else parse(translated)
    assert datagram is None or (datagram.intact and datagram.payload == b"voice")
    return datagram


def test_nothing_is_translated_before_it_forgets() -> None:
    nat = Translation()
    assert nat.apply(frame(CLIENT, VIP), outwards=True) == frame(CLIENT, VIP)
    assert nat.apply(frame(VIP, CLIENT), outwards=False) == frame(VIP, CLIENT)


def test_after_that_the_client_has_another_port_and_gets_what_comes_there() -> None:
    nat = Translation()
    nat.forget()
    out = passed(nat, CLIENT, VIP, outwards=True)
    assert out is not None
    assert (out.source.host, out.destination) == (CLIENT.host, VIP)
    assert out.source.port != CLIENT.port
    assert passed(nat, CLIENT, VIP, outwards=True) == out
    back = passed(nat, VIP, out.source, outwards=False)
    assert back is not None
    assert (back.source, back.destination) == (VIP, CLIENT)


def test_what_comes_to_a_forgotten_port_is_dropped() -> None:
    nat = Translation()
    nat.forget()
    out = passed(nat, CLIENT, VIP, outwards=True)
    assert out is not None
    nat.forget()
    assert passed(nat, VIP, out.source, outwards=False) is None
    assert passed(nat, VIP, CLIENT, outwards=False) is None
    again = passed(nat, CLIENT, VIP, outwards=True)
    assert again is not None
    assert again.source != out.source


def test_two_sockets_never_share_a_port() -> None:
    nat = Translation()
    nat.forget()
    given = [
        passed(nat, CLIENT._replace(port=port), VIP, outwards=True) for port in range(2000, 2200)
    ]
    assert len({each.source for each in given if each is not None}) == 200


def test_what_is_not_udp_passes_unchanged() -> None:
    nat = Translation()
    nat.forget()
    tcp = bytes(Ether(dst=MAC) / IP(src=CLIENT.host, dst=VIP.host) / TCP(sport=1, dport=2))
    arp = bytes(Ether(dst=MAC) / ARP(pdst=VIP.host))
    for each in (tcp, arp, b"", b"\0" * 40):
        assert nat.apply(each, outwards=True) == each
        assert nat.apply(each, outwards=False) == each
