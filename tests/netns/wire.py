"""An end of a cable: frames as they are on it, and what is sent through it."""

import socket
import struct
import time

from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Packet

from relay.netns.host import Host
from relay.wire.endpoint import Endpoint
from tests.lab.frame import parse

SECONDS = 5.0  # a limit

ETH_P_ALL = 0x0003  # linux/if_ether.h
SOL_PACKET, PACKET_AUXDATA = 263, 8  # linux/socket.h, linux/if_packet.h
VLAN_VALID = 0x10  # TP_STATUS_VLAN_VALID


class Wire:
    """An end of a cable, as frames with their tags."""

    def __init__(self, host: Host, interface: str) -> None:
        with host.inside():
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self._socket.bind((interface, ETH_P_ALL))
        self._socket.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        self._socket.settimeout(SECONDS)
        self.mac = ":".join(f"{byte:02x}" for byte in self._socket.getsockname()[4])

    def close(self) -> None:
        self._socket.close()

    def send(self, frame: bytes) -> None:
        self._socket.send(frame)

    def receive(self) -> tuple[bytes, int | None]:
        """The next frame that comes in, and the VLAN of its tag, which the kernel takes off."""
        while True:
            frame, control, _, source = self._socket.recvmsg(2048, 64)
            if source[2] == socket.PACKET_OUTGOING:
                continue
            status, *_, tag, _ = struct.unpack("=IIIHHHH", control[0][2])
            return frame, tag if status & VLAN_VALID else None


def datagram_frame(head: Packet, source: Endpoint, destination: Endpoint, payload: bytes) -> bytes:
    """A frame with a UDP datagram behind these headers."""
    kind = IP if source.family == socket.AF_INET else IPv6
    ports = UDP(sport=source.port, dport=destination.port)
    return bytes(head / kind(src=source.host, dst=destination.host) / ports / payload)


def next_udp(wire: Wire) -> tuple[bytes, int | None]:
    """The next frame with UDP: neighbours and multicast groups are talked about as well."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        frame, vlan = wire.receive()
        if parse(frame) is not None:
            return frame, vlan
    raise TimeoutError
