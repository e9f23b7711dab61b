import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from relay.core.ports import QUARANTINE, PortPool, UpstreamPool
from relay.wire.endpoint import Endpoint

KEY = bytes(range(16))
VIP = Endpoint("203.0.113.10", 3478)
TRANSCEIVER = Endpoint("192.0.2.2", 5000)


def test_the_least_that_rfc_4787_lets_a_mapping_live() -> None:
    assert QUARANTINE >= 120


def test_every_port_is_found_once_and_then_none() -> None:
    pool = PortPool(range(20_000, 20_050))
    taken = [pool.take(7 * number, 0) for number in range(50)]
    assert sorted(port for port in taken if port) == list(pool.ports)
    assert len(pool) == 50
    assert pool.take(50, 0) is None


@pytest.mark.parametrize("wanted", [2, 6, 2 + 4 * 10**18])
def test_a_collision_probes_upwards_and_around_the_end(wanted: int) -> None:
    pool = PortPool(range(20_000, 20_004))
    taken = [pool.take(wanted, 0) for _ in range(5)]
    assert taken == [20_002, 20_003, 20_000, 20_001, None]


def test_a_released_port_rests_before_it_is_taken_again() -> None:
    pool = PortPool(range(20_000, 20_001))
    assert pool.take(1, 1000) == 20_000
    pool.release(20_000, now=1000)
    assert len(pool) == 0
    assert pool.take(2, 1119.9) is None
    assert pool.take(2, 1120) == 20_000


def test_its_own_flow_does_not_get_a_resting_port_either() -> None:
    pool = PortPool(range(20_000, 20_002))
    assert pool.take(0, 0) == 20_000
    pool.release(20_000, now=0)
    assert pool.take(0, 1) == 20_001


def test_claim_takes_this_very_port_even_at_rest() -> None:
    pool = PortPool(range(20_000, 20_002))
    assert pool.claim(20_001)
    assert not pool.claim(20_001)
    pool.release(20_001, now=0)
    assert pool.claim(20_001)
    assert len(pool) == 1
    # It no longer rests: the end of its quarantine must not free it.
    assert pool.take(1, QUARANTINE) == 20_000
    assert pool.take(2, QUARANTINE) is None


def test_a_port_that_was_claimed_at_rest_rests_again_as_long() -> None:
    pool = PortPool(range(20_000, 20_001))
    assert pool.claim(20_000)
    pool.release(20_000, now=0, rest=10)
    assert pool.claim(20_000)
    pool.release(20_000, now=5, rest=10)
    assert pool.take(0, 14.9) is None
    assert pool.take(0, 15) == 20_000


@pytest.mark.parametrize("port", [0, 19_999, 20_002, 65_535])
def test_claim_refuses_a_port_out_of_range(port: int) -> None:
    pool = PortPool(range(20_000, 20_002))
    assert not pool.claim(port)
    assert len(pool) == 0


def test_releasing_what_is_not_taken_changes_nothing() -> None:
    pool = PortPool(range(20_000, 20_001))
    pool.release(20_000, now=0)
    assert pool.take(1, 0) == 20_000


class PortsAgainstAModel(RuleBasedStateMachine):
    """No port is ever in two hands, or out of quarantine early (RFC 4787, REQ-3)."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.pool = PortPool(range(20_000, 20_005))
        self.taken: set[int] = set()
        self.free_at = dict.fromkeys(self.pool.ports, 0.0)

    def free(self) -> set[int]:
        ports = {port for port, at in self.free_at.items() if at <= self.now}
        return ports - self.taken

    @rule(wanted=st.integers(0, 2**64 - 1))
    def take(self, wanted: int) -> None:
        free = self.free()
        port = self.pool.take(wanted, self.now)
        assert port in free if free else port is None
        if port is not None:
            self.taken.add(port)

    @rule(port=st.integers(19_999, 20_005))
    def claim(self, port: int) -> None:
        expected = port in self.pool.ports and port not in self.taken
        assert self.pool.claim(port) is expected
        if expected:
            self.taken.add(port)

    @precondition(lambda self: self.taken)
    @rule(data=st.data(), rest=st.sampled_from([0.0, 2.0, 10.0]))
    def release(self, data: st.DataObject, rest: float) -> None:
        port = data.draw(st.sampled_from(sorted(self.taken)))
        self.pool.release(port, self.now, rest)
        self.taken.remove(port)
        self.free_at[port] = self.now + rest

    @rule(seconds=st.sampled_from([0.5, 3.0, 10.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def counted(self) -> None:
        assert len(self.pool) == len(self.taken)
        free = len(self.free())
        assert self.pool.busy(self.now) == (len(self.pool.ports) - free) / len(self.pool.ports)


TestPortsAgainstAModel = PortsAgainstAModel.TestCase


def flow(number: int, vip: Endpoint = VIP, transceiver: Endpoint = TRANSCEIVER) -> bytes:
    return Endpoint("203.0.113.2", number).packed + vip.packed + transceiver.packed


def take(pool: UpstreamPool, packed: bytes, now: float = 0.0) -> Endpoint | None:
    taken = pool.take(packed, now)
    return Endpoint.unpack(taken) if taken else None


def test_ports_spread_by_every_part_of_a_flow_and_by_the_key() -> None:
    def wanted(packed: bytes, key: bytes = KEY) -> Endpoint | None:
        return take(UpstreamPool(["192.0.2.1"], range(1024, 65_536), key), packed)

    others = {
        wanted(flow(2)),
        wanted(flow(1, vip=VIP._replace(port=443))),
        wanted(flow(1, transceiver=TRANSCEIVER._replace(port=1))),
        wanted(flow(1), KEY[::-1]),
    }
    assert len(others) == 4
    assert wanted(flow(1)) not in others


@given(st.binary(min_size=16, max_size=16), st.integers(1, 0xFFFF))
def test_a_chosen_address_is_one_of_the_relays(key: bytes, number: int) -> None:
    hosts = ["192.0.2.1", "2001:db8::1"]
    taken = take(UpstreamPool(hosts, range(30_000, 30_007), key), flow(number))
    assert taken is not None
    assert taken.host in hosts
    assert taken.port in range(30_000, 30_007)


def test_flows_spread_over_hosts_and_a_rebuilt_one_comes_back() -> None:
    # RFC 4787, REQ-11: after a restart everything starts from nothing but the key.
    hosts = ["192.0.2.1", "192.0.2.9", "192.0.2.10"]
    pool, again = (UpstreamPool(hosts, range(20_000, 20_100), KEY) for _ in range(2))
    taken = [take(pool, flow(number)) for number in range(60)]
    assert len(set(taken)) == 60
    assert {upstream.host for upstream in taken if upstream} == set(hosts)
    assert take(again, flow(0)) == taken[0]


def test_every_port_of_every_host_is_used_before_there_is_none() -> None:
    pool = UpstreamPool(["192.0.2.1", "192.0.2.9"], range(20_000, 20_010), KEY)
    taken = [take(pool, flow(number)) for number in range(21)]
    assert len({upstream for upstream in taken if upstream}) == 20
    assert taken[20] is None


def test_upstream_addresses_are_claimed_and_released_by_host() -> None:
    first, second, other = (Endpoint(f"192.0.2.{last}", 20_000) for last in (1, 9, 77))
    pool = UpstreamPool([first.host, second.host], range(20_000, 20_001), KEY)
    assert pool.claim(second.packed)
    assert not pool.claim(second.packed)
    assert not pool.claim(other.packed)
    assert take(pool, flow(1)) == first
    pool.release(second.packed, 0)
    assert take(pool, flow(2), 119) is None
    assert take(pool, flow(2), 120) == second


def test_what_rests_goes_on_resting_in_another_pool() -> None:
    """An agent's successor has the ports of flows that went a moment ago."""
    before, after = (UpstreamPool(["192.0.2.1"], range(20_000, 20_002), KEY) for _ in range(2))
    flow = b"".join((VIP.packed, VIP.packed, TRANSCEIVER.packed))
    taken = before.take(flow, 0.0)
    assert taken is not None
    before.release(taken, 10.0)
    assert list(before.resting()) == [(taken, 10.0 + QUARANTINE)]
    for upstream, until in before.resting():
        after.let_rest(upstream, until)
    other = after.take(flow, 20.0)
    assert other not in (None, taken)
    assert after.take(flow, 20.0) is None
    assert after.take(flow, 10.0 + QUARANTINE) == taken
    # One that is taken, or none of these, stays as it is.
    after.let_rest(taken, 500.0)
    after.let_rest(VIP.packed, 500.0)
    assert list(after.resting()) == []
