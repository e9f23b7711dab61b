"""coturn, a TURN server: an allocation with a channel for every flow."""

import secrets
import shutil
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from relay.wire import stun
from relay.wire.endpoint import Endpoint
from relay.wire.errors import StunError
from relay.wire.stun import Message, MessageClass
from tests.bench.compare.model import Leg, OpenFlow, Running
from tests.bench.compare.systems import turn
from tests.bench.compare.testbed import Arena
from tests.lab.errors import LabError
from tests.lab.topology import CLIENT

_LIFETIME = 3600  # seconds, of allocations, permissions and channels alike
_AGAIN_SECONDS = 0.25  # after which a request is sent again
_TRIES = 40
_LARGEST = 2048


class Coturn:
    """coturn with one thread for relaying; clients need no credentials."""

    name = "coturn"
    most_flows = 10_000  # its clients' sockets stay open, and opening flows takes them time

    def missing(self) -> str | None:
        """Why it cannot take part on this machine."""
        if shutil.which("turnserver") is None:
            return "coturn is not installed: apt-get install coturn"
        return None

    @contextmanager
    def running(self, arena: Arena, flows: int) -> Iterator[Running]:
        """Run it, on one core, with flows opened through it.

        Raises:
            LabError: It does not start, or does not grant the flows.
        """
        file = arena.directory / "turnserver.conf"
        file.write_text(configuration(arena), encoding="ascii")
        command = ["turnserver", "-c", str(file)]
        with arena.start(command, ready="Total auth threads|turn server id=0 created") as started:
            opened = [_open(arena, number) for number in range(flows)]
            yield Running(opened, (started.pid,))


def configuration(arena: Arena) -> str:
    """The configuration: plain TURN over UDP and nothing besides."""
    ports = arena.upstream_ports
    return f"""\
listening-ip={arena.vip.host}
listening-port={arena.vip.port}
relay-ip={arena.upstreams[0]}
min-port={ports[0]}
max-port={ports[-1]}
relay-threads=1
no-auth
no-tcp
no-tls
no-dtls
no-tcp-relay
no-cli
no-rfc5780
no-stun-backward-compatibility
no-software-attribute
max-allocate-lifetime={_LIFETIME}
channel-lifetime={_LIFETIME}
permission-lifetime={_LIFETIME}
userdb={arena.directory}/turndb
pidfile={arena.directory}/turnserver.pid
log-file=stdout
simple-log
"""


def _open(arena: Arena, number: int) -> OpenFlow:
    """Open the flow of the client with a number."""
    client = arena.client(number)
    with arena.hosts[CLIENT].inside():
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with udp:
        udp.bind(client)
        udp.connect(arena.vip)
        udp.settimeout(_AGAIN_SECONDS)
        granted = _ask(udp, turn.allocate(_transaction(), _LIFETIME))
        _ask(udp, turn.create_permission(_transaction(), arena.transceiver))
        _ask(udp, turn.bind_channel(_transaction(), arena.transceiver))
    relayed = turn.relayed_address(granted)
    prefix = struct.pack("!H", turn.CHANNEL)
    return OpenFlow(Leg(client, arena.vip, prefix), Leg(arena.transceiver, relayed))


def _ask(udp: socket.socket, request: Message) -> Message:
    """The server's answer.

    Raises:
        LabError: It does not answer, or refuses.
    """
    for _ in range(_TRIES):
        try:
            udp.send(request.serialize())
            answer = Message.parse(udp.recv(_LARGEST))
        except (TimeoutError, ConnectionRefusedError, StunError):
            continue
        if answer.transaction_id != request.transaction_id:
            continue
        if answer.message_class is not MessageClass.SUCCESS:
            code = answer.get(stun.Attribute.ERROR_CODE) or b"no reason"
            raise LabError(f"coturn refuses a flow: {code[4:].decode(errors='replace')}")
        return answer
    raise LabError(f"coturn does not answer {Endpoint.of(udp.getsockname())}.")


def _transaction() -> bytes:
    return secrets.token_bytes(stun.TRANSACTION_ID_SIZE)
