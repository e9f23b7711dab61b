"""Opening of flows: the dialogue without a network, and through plain kernel forwarding."""

import pytest

from relay.wire import stun
from relay.wire.endpoint import Endpoint
from tests.bench.compare.systems import opening
from tests.bench.compare.systems.opening import Opening, open_flows
from tests.bench.compare.testbed.testbed import Testbed
from tests.bench.compare.traffic import packets
from tests.lab import frame
from tests.lab.errors import LabError

VIP = Endpoint("198.18.255.10", 3478)


def new_ufrag() -> str:
    return "an-ufrag"


def client(number: int) -> Endpoint:
    return Endpoint("198.18.0.1", 10_000 + number)


def upstream(number: int) -> Endpoint:
    return Endpoint("198.19.0.1", 20_000 + number)


def parsed(packet: bytes) -> frame.Datagram:
    datagram = frame.parse(packets.frame(bytes(6), bytes(6), packet))
    assert datagram is not None
    return datagram


def forward(made: Opening, packet: bytes, number: int) -> bytes:
    """What a relay that is no router does with a request; the answer as the client gets it."""
    answer = made.answer(parsed(packet).payload, upstream(number))
    assert answer is not None
    return packets.packet(VIP, client(number), answer)


def test_a_request_is_a_real_one() -> None:
    (packet,) = Opening(client, VIP, new_ufrag, 1).due(0.0)
    request = parsed(packet)
    assert (request.source, request.destination, request.intact) == (client(0), VIP, True)
    assert stun.username(request.payload) == b"an-ufrag:bench"
    stun.verify_integrity(request.payload, b"the password of both ends")


def test_a_flow_is_open_when_its_answer_is_back() -> None:
    made = Opening(client, VIP, new_ufrag, 2)
    first, second = made.due(0.0)
    made.receive(forward(made, second, 1))
    assert (made.opened, made.requested, made.done) == (1, 1, False)
    made.receive(forward(made, first, 0))
    assert made.done
    assert made.upstreams() == [(0, upstream(0)), (1, upstream(1))]


def test_what_is_lost_is_sent_again() -> None:
    made = Opening(client, VIP, new_ufrag, 1)
    (packet,) = made.due(5.0)
    assert made.due(5.0 + opening.RETRANSMIT_SECONDS / 2) == []
    assert made.wait(5.0 + opening.RETRANSMIT_SECONDS / 2) == pytest.approx(
        opening.RETRANSMIT_SECONDS / 2
    )
    assert made.due(5.0 + opening.RETRANSMIT_SECONDS) == [packet]


def test_only_so_many_are_under_way() -> None:
    made = Opening(client, VIP, new_ufrag, opening.WINDOW + 1)
    requests = made.due(0.0)
    assert len(requests) == opening.WINDOW
    made.receive(forward(made, requests[7], 7))
    assert len(made.due(0.0)) == 1


def test_an_answer_counts_once_and_only_on_its_own_path() -> None:
    made = Opening(client, VIP, new_ufrag, 2)
    first, _ = made.due(0.0)
    answer = made.answer(parsed(first).payload, upstream(0))
    assert answer is not None
    made.receive(packets.packet(VIP, client(1), answer))
    made.receive(packets.packet(Endpoint(VIP.host, VIP.port + 1), client(0), answer))
    assert made.opened == 0
    made.receive(packets.packet(VIP, client(0), answer))
    made.receive(packets.packet(VIP, client(0), answer))
    assert made.opened == 1


@pytest.mark.parametrize("data", [b"", bytes(40), b"\x80\x6f" + bytes(30)])
def test_what_is_no_request_gets_no_answer(data: bytes) -> None:
    assert Opening(client, VIP, new_ufrag, 1).answer(data, upstream(0)) is None


def test_the_requests_of_another_opening_get_no_answer() -> None:
    (packet,) = Opening(client, VIP, new_ufrag, 1).due(0.0)
    assert Opening(client, VIP, new_ufrag, 1).answer(parsed(packet).payload, upstream(0)) is None


@pytest.mark.netns
def test_flows_open_through_a_router(routed: Testbed) -> None:
    flows = open_flows(routed, routed.transceiver, new_ufrag, 300)
    assert [each.to_transceiver.source for each in flows] == [routed.client(n) for n in range(300)]
    assert {each.to_transceiver.destination for each in flows} == {routed.transceiver}
    assert [each.to_client.destination for each in flows] == [routed.client(n) for n in range(300)]
    assert {each.to_client.source for each in flows} == {routed.transceiver}


@pytest.mark.netns
def test_flows_that_do_not_open_are_told(routed: Testbed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "BASE_SECONDS", 0.1)
    with pytest.raises(LabError, match="Of 2 flows 0 opened in time"):
        open_flows(routed, routed.vip, new_ufrag, 2)
