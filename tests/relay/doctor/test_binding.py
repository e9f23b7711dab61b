"""Whether addresses can be had, by having them for a moment."""

import errno
import socket

from relay.doctor.binding import bindings
from relay.wire.endpoint import Endpoint
from tests.ports import free_port


def test_what_can_be_had_is_let_go_again() -> None:
    vip, tcp, metrics = (Endpoint("127.0.0.1", free_port()) for _ in range(3))
    for _ in range(2):
        found = bindings([vip], ["127.0.0.1"], [tcp], metrics)
        assert [(each.option, each.refused) for each in found] == [
            ("vip", None),
            ("upstream", None),
            ("tcp", None),
            ("metrics", None),
        ]


def test_a_port_of_another_and_an_address_of_another_host_are_told() -> None:
    taken = Endpoint("127.0.0.1", free_port())
    foreign = Endpoint("192.0.2.77", 3478)
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp,
    ):
        udp.bind(taken)
        tcp.bind(taken)
        tcp.listen()
        found = bindings([taken, foreign], [foreign.host], [taken], None)
    assert [(each.option, each.refused) for each in found] == [
        ("vip", errno.EADDRINUSE),
        ("vip", errno.EADDRNOTAVAIL),
        ("upstream", errno.EADDRNOTAVAIL),
        ("tcp", errno.EADDRINUSE),
    ]
