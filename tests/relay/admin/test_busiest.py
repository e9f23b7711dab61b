"""Which of an agent's flows move most."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from relay.admin.busiest import Question, busiest, combined
from relay.core.flow import Flow, Instant, State
from relay.core.flowtuple import FlowTuple
from relay.wire.announcement import Announcement
from relay.wire.endpoint import Endpoint
from relay.wire.route import Target
from relay.wire.transport import Transport

NOW = 1000.0
VIP = Endpoint("203.0.113.10", 3478)


def flow(number: int, *, slot: int = 1, transport: Transport = Transport.UDP) -> Flow:
    """The flow of a client with that number, which was confirmed so many seconds ago."""
    addresses = FlowTuple(
        Endpoint("198.51.100.7", number),
        VIP,
        Endpoint("192.0.2.1", 20_000 + number),
        Endpoint(f"192.0.2.{1 + slot}", 5000),
        bytes([0, *Target(1, slot, 1).packed]) + bytes(14),
        transport=transport,
    )
    return Flow(addresses, State.CONFIRMED, NOW, NOW, opened=Instant(NOW - number, 0.0))


async def ask(
    flows: Sequence[Flow], meanwhile: Callable[[], None] = lambda: None, **request: Any
) -> dict[str, Any]:
    """What is answered when something happens while the flows are looked at, for two seconds."""
    now = NOW

    async def wait(seconds: float) -> None:
        nonlocal now
        now += seconds
        meanwhile()

    question = Question.parse({"over": 2.0, **request})
    return await busiest(flows, question, clock=lambda: now, sleep=wait)


def clients(answer: dict[str, Any]) -> list[int]:
    return [Endpoint.parse(row["client"]).port for row in answer["flows"]]


def carry(flow: Flow, packets: int, size: int) -> None:
    flow.packets_to_transceiver += packets
    flow.bytes_to_transceiver += size


async def test_what_moves_meanwhile_comes_first() -> None:
    flows = [flow(n) for n in range(1, 4)]
    carry(flows[0], 10_000, 10_000_000)  # before

    def meanwhile() -> None:
        carry(flows[1], 100, 1000)
        carry(flows[2], 10, 2000)

    answer = await ask(flows, meanwhile, limit=2)
    assert clients(answer) == [3, 2]
    assert answer["matching"] == 3
    inward = answer["flows"][0]["to_transceiver"]
    assert (inward["packet_rate"], inward["bit_rate"]) == (5.0, 8000)
    for each in flows[1:]:
        each.packets_to_transceiver = each.bytes_to_transceiver = 0
    assert clients(await ask(flows, meanwhile, limit=1, sort="packets")) == [2]


async def test_those_that_rest_come_behind_those_that_move() -> None:
    flows = [flow(n) for n in range(1, 4)]
    flows[0].last_from_client = flows[0].last_from_transceiver = NOW - 60
    answer = await ask(flows, lambda: carry(flows[2], 1, 1))
    assert clients(answer)[0] == 3
    assert sorted(clients(answer)) == [1, 2, 3]
    assert clients(await ask(flows, limit=2)) == [2, 3]


@pytest.mark.parametrize(
    ("sort", "order"),
    [("total", [2, 3, 1]), ("idle", [1, 2, 3]), ("age", [3, 2, 1]), ("client", [1, 2, 3])],
)
async def test_each_order_and_its_reverse(sort: str, order: list[int]) -> None:
    flows = [flow(n) for n in range(1, 4)]
    carry(flows[1], 1, 500)
    carry(flows[2], 1, 400)
    for each, idle in zip(flows, (30, 20, 10), strict=True):
        each.last_from_client = each.last_from_transceiver = NOW - idle
    assert clients(await ask(flows, sort=sort)) == order
    assert clients(await ask(flows, sort=sort, reverse=True)) == order[::-1]
    assert clients(await ask(flows, sort=sort, limit=1)) == order[:1]


async def test_a_filter_leaves_out_what_does_not_fit() -> None:
    flows = [flow(1), flow(2, slot=2), flow(3)]
    flows[2].state = State.PENDING
    assert clients(await ask(flows, filter="192.0.2.3:5000")) == [2]
    assert clients(await ask(flows, filter="1/2.1")) == [2]
    assert clients(await ask(flows, filter="pending")) == [3]
    assert clients(await ask(flows, filter="198.51.100.7:1")) == [1]
    answer = await ask(flows, filter="10.9")
    assert (answer["flows"], answer["matching"]) == ([], 0)


async def test_flows_with_one_side_alone_are_counted_and_found() -> None:
    flows = [flow(n) for n in range(1, 5)]
    flows[0].last_from_transceiver = NOW - 11
    flows[1].last_from_client = NOW - 11
    flows[2].last_from_client = flows[2].last_from_transceiver = NOW - 11
    assert (await ask(flows))["one_way"] == 2
    assert sorted(clients(await ask(flows, filter="one-way"))) == [1, 2]


async def test_a_flow_that_is_asked_for_is_there_whatever_it_carries() -> None:
    flows = [flow(1), flow(1, transport=Transport.TCP), flow(2)]
    asked = {"client": "198.51.100.7:1", "vip": str(VIP), "transport": "udp"}
    answer = await ask(flows, lambda: carry(flows[2], 1, 1), limit=1, show=asked)
    assert [row["transport"] for row in answer["flows"]] == ["udp", "udp"]
    assert clients(answer) == [2, 1]
    answer = await ask(flows, limit=0, show={**asked, "transport": "tcp"})
    assert [row["transport"] for row in answer["flows"]] == ["tcp"]


async def test_a_row_says_what_the_agent_knows() -> None:
    known = flow(61)
    known.stored_at, known.claimed, known.epoch = NOW - 3, True, 2
    known.last_from_client = NOW - 1
    client = Endpoint("10.0.0.1", 1)
    known.introduced = Announcement(client, VIP, VIP, known.addresses.route, 0.0)
    (row,) = (await ask([known]))["flows"]
    assert row["target"] == "1/1.1"
    assert row["route"] == known.addresses.route.hex()
    assert (row["state"], row["age_seconds"], row["epoch"]) == ("confirmed", 63.0, 2)
    assert (row["stored_seconds"], row["claimed"], row["ended"]) == (5.0, True, False)
    assert row["introduced"] == "10.0.0.1:1"
    assert row["to_transceiver"]["idle_seconds"] == 3.0


async def test_transceivers_are_added_up() -> None:
    flows = [flow(1), flow(2), flow(3, slot=2)]
    flows[0].last_from_client = flows[0].last_from_transceiver = NOW - 60  # counts all the same

    def meanwhile() -> None:
        carry(flows[1], 4, 400)
        flows[2].bytes_to_client += 200

    answer = await ask(flows, meanwhile, transceivers=True, sort="client", limit=0)
    one, two = sorted(answer["transceivers"], key=lambda each: each["transceiver"])
    assert (one["transceiver"], one["target"], one["flows"]) == ("192.0.2.2:5000", "1/1.1", 2)
    assert one["to_transceiver"] == {"packet_rate": 2.0, "bit_rate": 1600}
    assert (two["target"], two["flows"]) == ("1/2.1", 1)
    assert two["to_client"] == {"packet_rate": 0.0, "bit_rate": 800}


async def test_more_flows_than_are_looked_at_in_one_go() -> None:
    flows = [flow(n) for n in range(1, 2501)]
    answer = await ask(flows, lambda: carry(flows[2400], 1, 100), limit=3)
    assert clients(answer)[0] == 2401
    assert answer["matching"] == 2500


async def test_the_answers_of_workers_are_one() -> None:
    groups = [[flow(1), flow(2)], [flow(3, slot=2), flow(4)]]
    request = {"limit": 2, "transceivers": True}
    answers = []
    for group in groups:

        def meanwhile(mover: Flow = group[1]) -> None:
            carry(mover, 1, mover.addresses.client.port)

        answers.append(await ask(group, meanwhile, **request))
    whole = combined(answers, Question.parse(request))
    assert clients(whole) == [4, 2]
    assert whole["matching"] == 4
    assert sorted(each["flows"] for each in whole["transceivers"]) == [1, 3]


def test_a_question_has_its_bounds() -> None:
    question = Question.parse({"limit": 10**9, "over": 60})
    assert (question.limit, question.over) == (1000, 4.0)
    assert Question.parse({"limit": -1, "over": -1}).limit == 0
