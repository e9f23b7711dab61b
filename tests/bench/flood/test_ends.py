"""Both ends of calls, over a host that forwards whatever comes, or nothing."""

import os
import socket

import pytest

from relay.wire.endpoint import Endpoint
from relay.wire.stun import MessageClass, header
from tests.bench.compare.benchmarks.sessions import Requests
from tests.bench.compare.testbed.system import Flow, Leg
from tests.bench.compare.testbed.testbed import Testbed
from tests.bench.compare.traffic.checks import MARK_SIZE, prepared, raw_socket
from tests.bench.flood.ends import Conversation, Heard, answered
from tests.lab.topology import RELAY, TRANSCEIVER

VIP = Endpoint("198.18.255.10", 3478)
CLIENT = Endpoint("198.18.0.1", 10_000)


def test_a_transceiver_answers_its_own_clients_alone() -> None:
    requests = Requests.make(VIP, [CLIENT], ["ufrag"])
    check = requests.packets[0][28:]
    answer = answered(check, requests.mark)
    assert answer is not None
    assert header(answer).message_class is MessageClass.SUCCESS
    assert header(answer).transaction_id == header(check).transaction_id
    assert answered(check, bytes(MARK_SIZE)) is None
    assert answered(b"", requests.mark) is None
    assert answered(answer, requests.mark) is None


def talk(testbed: Testbed) -> Heard:
    """Two calls that go on, and some that begin, straight to the transceiver."""
    clients = [testbed.client(number) for number in range(12)]
    flows = [
        Flow(Leg(client, testbed.transceiver), Leg(testbed.transceiver, client))
        for client in clients[:2]
    ]
    requests = Requests.make(testbed.transceiver, clients[2:], ["ufrag"] * 10)
    with testbed.hosts[TRANSCEIVER].inside():
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with udp, raw_socket(testbed) as raw:
        udp.bind(testbed.transceiver)
        return Conversation(raw, prepared(udp), flows, requests).run(0.3, 0.1, gives_up=0.5)


@pytest.mark.netns
@pytest.mark.bpf
def test_what_is_sent_arrives_unless_it_is_lost() -> None:
    with Testbed(f"ends-{os.getpid()}") as testbed:
        testbed.hosts[RELAY].sysctl("ipv4/ip_forward", 1)
        heard = talk(testbed)
        assert heard.begun > 0 < heard.sent
        assert (heard.lost, heard.failed) == (0, 0)
        testbed.hosts[RELAY].sysctl("ipv4/ip_forward", 0)
        heard = talk(testbed)
        assert heard.begun > 0 < heard.sent
        assert (heard.lost, heard.failed) == (heard.sent, heard.begun)
        assert heard.retransmitted > 0
