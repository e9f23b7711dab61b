"""Places for pending flows: how many, whose, and when they are free again."""

from relay.core.flow import Flow, State
from relay.core.flowtuple import FlowTuple
from relay.core.limits import Limits
from relay.core.pending import PendingFlows
from relay.wire.keys import KeyRing
from relay.wire.route import TARGET, Target, mint
from tests.relay.conftest import ADDRESSES, ALICE, FIRST, SECOND, VIP

KEYS = KeyRing({0: bytes(32)}, signing_slot=0)
LIMITS = Limits(pending=4, pending_per_route=2, pending_life=10.0)


def route(target: Target = FIRST, nonce: bytes = b"abcd") -> bytes:
    return mint(target, KEYS, now=0, lifetime=60, nonce=nonce).raw


def flow(port: int = 40_000, raw: bytes | None = None, now: float = 0.0) -> Flow:
    parts = FlowTuple(ALICE._replace(port=port), VIP, ALICE, ADDRESSES[FIRST], raw or route())
    return Flow(parts, State.PENDING, now, now)


def pending_of(*flows: Flow) -> PendingFlows:
    pending = PendingFlows(LIMITS)
    for each in flows:
        pending.add(each)
    return pending


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
    assert pending.refusal(route(), 0.0) is None
    pending.add(flow(2))
    assert pending.refusal(route(), 0.0) == "pending_per_route_full"
    assert pending.refusal(route(nonce=b"else"), 0.0) is None


def test_all_routes_together_have_only_so_many() -> None:
    pending = pending_of(*(flow(port, route(nonce=bytes([port] * 4))) for port in range(4)))
    assert pending.refusal(route(nonce=b"else"), 0.0) == "pending_full"


def test_a_flow_that_goes_leaves_its_place() -> None:
    one, two = flow(1), flow(2)
    pending = pending_of(one, two)
    pending.discard(one)
    assert pending.refusal(route(), 0.0) is None
    assert list(pending) == [two]
    pending.discard(one)  # again: nobody else's place is free for it
    pending.add(one)
    assert pending.refusal(route(), 0.0) == "pending_per_route_full"


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
    assert pending.refusal(route(), 110.0) == "pending_per_route_full"
    assert pending.refusal(route(), 110.1) is None
    pending.add(flow(1))
    assert pending.refusal(route(), 115.0) == "pending_per_route_full"
    assert pending.refusal(route(), 115.1) is None


def test_places_that_are_kept_count_among_all() -> None:
    pending = pending_of()
    for number in range(LIMITS.pending):
        pending.keep_place(route(nonce=bytes([number] * 4)), 0.0)
    assert pending.refusal(route(nonce=b"else"), 1.0) == "pending_full"
    assert pending.refusal(route(nonce=b"else"), 11.0) is None


def test_a_flow_expires_after_its_life_and_stays_until_it_is_discarded() -> None:
    young, old = flow(1, now=5.0), flow(2, now=1.0)
    pending = pending_of(young, old)
    assert pending.expired(11.0) == []
    assert pending.expired(11.1) == [old]
    assert len(pending) == 2
