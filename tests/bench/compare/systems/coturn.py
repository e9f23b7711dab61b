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
from tests.bench.compare.systems import turn
from tests.bench.compare.testbed.system import Flow, Leg, RunningSystem
from tests.bench.compare.testbed.testbed import Testbed
from tests.lab.errors import LabError
from tests.lab.topology import CLIENT

_LIFETIME = 3600  # seconds, of allocations, permissions and channels alike
_RETRANSMIT_SECONDS = 0.25  # after which a request is sent again
_TRIES = 40
_LARGEST = 2048


class Coturn:
    """coturn with one thread for relaying; clients need no credentials."""

    name = "coturn"
    max_flows = 10_000  # its clients' sockets stay open, and opening flows takes them time

    def missing(self) -> str | None:
        """Why it cannot take part on this machine."""
        return missing_turnserver()

    @contextmanager
    def running(self, testbed: Testbed, flows: int) -> Iterator[RunningSystem]:
        """Run it, on one core, with flows opened through it.

        Raises:
            LabError: It does not start, or does not grant the flows.
        """
        file = testbed.directory / "turnserver.conf"
        file.write_text(configuration(testbed), encoding="ascii")
        command = ["turnserver", "-c", str(file)]
        with testbed.start(command, ready="Total auth threads|turn server id=0 created") as started:
            opened = [_open(testbed, number) for number in range(flows)]
            yield RunningSystem(opened, started.pids)


def missing_turnserver() -> str | None:
    """Why coturn cannot run on this machine, with what to do about it; None if it can."""
    if shutil.which("turnserver") is None:
        return "coturn is not installed: apt-get install coturn"
    return None


def configuration(testbed: Testbed) -> str:
    """The configuration: plain TURN over UDP and nothing besides."""
    ports = testbed.upstream_ports
    return f"""\
listening-ip={testbed.vip.host}
listening-port={testbed.vip.port}
relay-ip={testbed.upstreams[0]}
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
userdb={testbed.directory}/turndb
pidfile={testbed.directory}/turnserver.pid
log-file=stdout
simple-log
"""


def _open(testbed: Testbed, number: int) -> Flow:
    """Open the flow of the client with a number."""
    client = testbed.client(number)
    with testbed.hosts[CLIENT].inside():
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with udp:
        udp.bind(client)
        udp.connect(testbed.vip)
        udp.settimeout(_RETRANSMIT_SECONDS)
        granted = _ask(udp, turn.allocate(_transaction(), _LIFETIME))
        _ask(udp, turn.create_permission(_transaction(), testbed.transceiver))
        _ask(udp, turn.bind_channel(_transaction(), testbed.transceiver))
    relayed = turn.relayed_address(granted)
    prefix = struct.pack("!H", turn.CHANNEL)
    return Flow(Leg(client, testbed.vip, prefix), Leg(testbed.transceiver, relayed))


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
