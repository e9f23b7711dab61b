"""Places for pending flows: how many, whose, and when they are free again."""

from random import Random

from relay.core.flow import Flow, Instant, State
from relay.core.flowtuple import FlowTuple
from relay.core.limits import Limits
from relay.core.pending import PendingFlows
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.route import TARGET, Target, mint
from tests.relay.conftest import ADDRESSES, ALICE, FIRST, SECOND, VIP

KEYS = KeyRing({0: bytes(32)}, signing_slot=0)
LIMITS = Limits(
    pending=4, pending_per_route=2, pending_per_prefix=3, pending_life=10.0, replacements=5.0
)


def route(target: Target = FIRST, nonce: bytes = b"abcd") -> bytes:
    return mint(target, KEYS, now=0, lifetime=60, nonce=nonce).raw


def flow(
    port: int = 40_000, raw: bytes | None = None, now: float = 0.0, host: str = ALICE.host
) -> Flow:
    client = Endpoint(host, port)
    parts = FlowTuple(client, VIP, ALICE, ADDRESSES[FIRST], raw or route())
    return Flow(parts, State.PENDING, now, now, opened=Instant(now, 0.0))


def elsewhere(number: int) -> Flow:
    """A flow of a route of its own, in a network of its own."""
    return flow(number, route(nonce=bytes([number] * 4)), host=f"198.51.{number}.1")


def pending_of(*flows: Flow) -> PendingFlows:
    pending = PendingFlows(LIMITS, Random(1).randrange)
    for each in flows:
        add(pending, each)
    return pending


def add(pending: PendingFlows, new: Flow) -> None:
    """Take a flow that gives way to nobody."""
    pending.add(new)
    pending.answered(new)


def refusal(
    pending: PendingFlows, raw: bytes, now: float, client: Endpoint = ALICE, confirmed: int = 0
) -> str | None:
    return pending.admit(raw, client.packed, now, confirmed=confirmed).refusal


def test_a_flow_is_found_by_its_client_and_who_its_route_leads_to() -> None:
    one = flow()
    pending = pending_of(one)
    first, second = (route(target)[TARGET] for target in (FIRST, SECOND))
    assert pending.get(one.addresses.from_client, first) is one
    assert pending.get(one.addresses.from_client, second) is None
    assert pending.get(flow(port=1).addresses.from_client, first) is None
    assert list(pending) == [one]


def test_a_route_has_only_so_many_places() -> None:
    pending = pending_of(flow(1))
    assert refusal(pending, route(), 0.0) is None
    add(pending, flow(2))
    assert refusal(pending, route(), 0.0) == "pending_per_route_full"
    assert refusal(pending, route(nonce=b"else"), 0.0) is None


def test_all_routes_together_have_only_so_many() -> None:
    pending = pending_of(*map(elsewhere, range(4)))
    assert refusal(pending, route(nonce=b"else"), 0.0) == "pending_full"


def test_a_network_has_only_so_many() -> None:
    pending = pending_of(*(flow(port, route(nonce=bytes([port] * 4))) for port in range(3)))
    assert refusal(pending, route(nonce=b"else"), 0.0) == "pending_per_prefix_full"
    other = Endpoint("198.51.100.1", 1)
    assert refusal(pending, route(nonce=b"else"), 0.0, other) is None


def test_confirmed_flows_of_a_route_leave_fewer_places() -> None:
    pending = pending_of(flow(1))
    most = LIMITS.flows_per_route
    assert refusal(pending, route(), 0.0, confirmed=most - 2) is None
    assert refusal(pending, route(), 0.0, confirmed=most - 1) == "pending_per_route_full"
    assert refusal(pending, route(), 0.0, confirmed=most) == "route_full"


def test_any_that_is_unanswered_gives_way() -> None:
    left = set()
    for seed in range(30):
        pending = PendingFlows(LIMITS, Random(seed).randrange)
        flows = [flow(1), flow(2)]
        for each in flows:
            pending.add(each)
        admission = pending.admit(route(), ALICE.packed, 0.0)
        assert admission.refusal is None
        (leaving,) = admission.leaving
        assert list(pending) == [each for each in flows if each is not leaving]
        left.add(flows.index(leaving))
    assert left == {0, 1}


def test_one_that_leaves_makes_room_in_all_respects() -> None:
    pending = PendingFlows(LIMITS, Random(1).randrange)
    for number in range(2):
        pending.add(flow(number))  # of one route and network
    for number in range(2):
        pending.add(elsewhere(number))
    admission = pending.admit(route(), Endpoint("198.51.100.1", 1).packed, 0.0)
    assert len(admission.leaving) == 1
    assert admission.leaving[0].addresses.route == route()


def test_those_of_a_route_give_way_at_a_limited_rate() -> None:
    pending = PendingFlows(LIMITS, Random(1).randrange)

    def let_in(now: float) -> int:
        admitted = 0
        for port in range(100):
            if refusal(pending, route(), now) is None:
                pending.add(flow(port, now=now))
                admitted += 1
        return admitted

    assert let_in(0.0) == LIMITS.pending_per_route + LIMITS.replacements
    assert let_in(0.0) == 0
    assert let_in(1.0) == LIMITS.replacements


def test_who_refuses_takes_nothing_from_anybody() -> None:
    pending = pending_of(*map(elsewhere, range(2)))
    pending.add(flow(1))
    pending.add(flow(2))
    for each in pending:
        pending.answered(each)
    unanswered = flow(9, route(nonce=b"nine"), host="198.51.9.1")
    pending.discard(next(iter(pending)))
    pending.add(unanswered)
    # There is somebody to leave for the total's sake, and nobody for the route's.
    assert refusal(pending, route(), 0.0) == "pending_per_route_full"
    assert unanswered in list(pending)


def test_a_flow_that_goes_leaves_its_place() -> None:
    one, two = flow(1), flow(2)
    pending = pending_of(one, two)
    pending.discard(one)
    assert refusal(pending, route(), 0.0) is None
    assert list(pending) == [two]
    pending.discard(one)  # again: nobody else's place is free for it
    add(pending, one)
    assert refusal(pending, route(), 0.0) == "pending_per_route_full"


def test_a_flow_is_not_taken_for_its_successor() -> None:
    old, new = flow(1), flow(1)
    pending = pending_of(new)
    pending.discard(old)
    assert list(pending) == [new]


def test_a_place_that_is_kept_is_free_after_the_life_of_a_pending_flow() -> None:
    pending = pending_of()
    pending.keep_place(route(), 100.0)
    pending.keep_place(route(), 105.0)
    assert len(pending) == 0
    assert refusal(pending, route(), 110.0) == "pending_per_route_full"
    assert refusal(pending, route(), 110.1) is None
    add(pending, flow(1))
    assert refusal(pending, route(), 115.0) == "pending_per_route_full"
    assert refusal(pending, route(), 115.1) is None


def test_places_that_are_kept_count_among_all() -> None:
    pending = pending_of()
    for number in range(LIMITS.pending):
        pending.keep_place(route(nonce=bytes([number] * 4)), 0.0)
    assert refusal(pending, route(nonce=b"else"), 1.0) == "pending_full"
    assert refusal(pending, route(nonce=b"else"), 11.0) is None


def test_a_flow_expires_after_its_life_and_stays_until_it_is_discarded() -> None:
    young, old = flow(1, now=5.0), flow(2, now=1.0)
    pending = pending_of(young, old)
    assert pending.expired(11.0) == []
    assert pending.expired(11.1) == [old]
    assert len(pending) == 2


def test_a_flow_expires_after_its_longest_life_whatever_its_client_sends() -> None:
    one = flow(1)
    pending = pending_of(one)
    one.last_from_client = LIMITS.pending_longest
    assert pending.expired(LIMITS.pending_longest - 0.1) == []
    assert pending.expired(LIMITS.pending_longest) == [one]
