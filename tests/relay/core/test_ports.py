import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from relay.core.ports import QUARANTINE, PortPool, UpstreamPool
from relay.wire.endpoint import Endpoint

KEY = bytes(range(16))
VIP = Endpoint("203.0.113.10", 3478)
TRANSCEIVER = Endpoint("192.0.2.2", 5000)


def client(number: int) -> Endpoint:
    return Endpoint("203.0.113.2", number)


def take(pool: PortPool, number: int, now: float = 0.0) -> int | None:
    return pool.take(client(number), VIP, TRANSCEIVER, now)


def test_the_least_that_rfc_4787_lets_a_mapping_live() -> None:
    assert QUARANTINE >= 120


def test_a_rebuilt_flow_gets_the_port_it_had() -> None:
    # RFC 4787, REQ-11: after a restart everything starts from nothing but the key.
    ports = range(20_000, 30_000)
    assert take(PortPool(ports, KEY), 1) == take(PortPool(ports, KEY), 1)


def test_ports_spread_by_every_part_of_a_flow_and_by_the_key() -> None:
    ports = range(1024, 65_536)
    first = PortPool(ports, KEY).take(client(1), VIP, TRANSCEIVER, 0)
    others = {
        PortPool(ports, KEY).take(client(2), VIP, TRANSCEIVER, 0),
        PortPool(ports, KEY).take(client(1), VIP._replace(port=443), TRANSCEIVER, 0),
        PortPool(ports, KEY).take(client(1), VIP, TRANSCEIVER._replace(port=1), 0),
        PortPool(ports, KEY[::-1]).take(client(1), VIP, TRANSCEIVER, 0),
    }
    assert len(others) == 4
    assert first not in others


def test_every_port_is_found_once_and_then_none() -> None:
    pool = PortPool(range(20_000, 20_050), KEY)
    taken = [take(pool, number) for number in range(50)]
    assert sorted(port for port in taken if port) == list(pool.ports)
    assert len(pool) == 50
    assert take(pool, 50) is None


def test_a_collision_probes_upwards_and_around_the_end() -> None:
    pool = PortPool(range(20_000, 20_004), KEY)
    wanted = take(PortPool(pool.ports, KEY), 1)
    assert wanted is not None
    expected = [20_000 + (wanted - 20_000 + step) % 4 for step in range(4)]
    assert [take(pool, 1) for _ in range(4)] == expected


def test_a_released_port_rests_before_it_is_taken_again() -> None:
    pool = PortPool(range(20_000, 20_001), KEY, quarantine=120)
    assert take(pool, 1, now=1000) == 20_000
    pool.release(20_000, now=1000)
    assert len(pool) == 0
    assert take(pool, 2, now=1119.9) is None
    assert take(pool, 2, now=1120) == 20_000


def test_its_own_flow_does_not_get_a_resting_port_either() -> None:
    pool = PortPool(range(20_000, 20_002), KEY)
    first = take(pool, 1)
    assert first is not None
    pool.release(first, now=0)
    assert take(pool, 1, now=1) == 20_000 + (first - 20_000 + 1) % 2


def test_claim_takes_this_very_port_even_at_rest() -> None:
    pool = PortPool(range(20_000, 20_002), KEY)
    assert pool.claim(20_001)
    assert not pool.claim(20_001)
    pool.release(20_001, now=0)
    assert pool.claim(20_001)
    assert len(pool) == 1
    # It no longer rests: the end of its quarantine must not free it.
    assert take(pool, 1, now=QUARANTINE) == 20_000
    assert take(pool, 2, now=QUARANTINE) is None


@pytest.mark.parametrize("port", [0, 19_999, 20_002, 65_535])
def test_claim_refuses_a_port_out_of_range(port: int) -> None:
    pool = PortPool(range(20_000, 20_002), KEY)
    assert not pool.claim(port)
    assert len(pool) == 0


def test_releasing_what_is_not_taken_changes_nothing() -> None:
    pool = PortPool(range(20_000, 20_001), KEY)
    pool.release(20_000, now=0)
    assert take(pool, 1) == 20_000


@given(st.binary(min_size=16, max_size=16), st.integers(1, 0xFFFF))
def test_a_chosen_port_lies_in_the_range(key: bytes, number: int) -> None:
    assert take(PortPool(range(30_000, 30_007), key), number) in range(30_000, 30_007)


class PortsAgainstAModel(RuleBasedStateMachine):
    """No port is ever in two hands, or out of quarantine early (RFC 4787, REQ-3)."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.pool = PortPool(range(20_000, 20_005), KEY, quarantine=10)
        self.taken: set[int] = set()
        self.free_at = dict.fromkeys(self.pool.ports, 0.0)

    def free(self) -> set[int]:
        ports = {port for port, at in self.free_at.items() if at <= self.now}
        return ports - self.taken

    @rule(number=st.integers(1, 9))
    def take(self, number: int) -> None:
        free = self.free()
        port = take(self.pool, number, self.now)
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
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        port = data.draw(st.sampled_from(sorted(self.taken)))
        self.pool.release(port, self.now)
        self.taken.remove(port)
        self.free_at[port] = self.now + 10

    @rule(seconds=st.sampled_from([0.5, 3.0, 10.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def counted(self) -> None:
        assert len(self.pool) == len(self.taken)


TestPortsAgainstAModel = PortsAgainstAModel.TestCase


def test_flows_spread_over_hosts_and_a_rebuilt_one_comes_back() -> None:
    hosts = ["192.0.2.1", "192.0.2.9", "192.0.2.10"]
    pool, again = (UpstreamPool(hosts, range(20_000, 20_100), KEY) for _ in range(2))
    taken = [pool.take(client(number), VIP, TRANSCEIVER, 0) for number in range(60)]
    assert len(set(taken)) == 60
    assert {upstream.host for upstream in taken if upstream} == set(hosts)
    assert again.take(client(0), VIP, TRANSCEIVER, 0) == taken[0]


def test_every_port_of_every_host_is_used_before_there_is_none() -> None:
    pool = UpstreamPool(["192.0.2.1", "192.0.2.9"], range(20_000, 20_010), KEY)
    taken = [pool.take(client(number), VIP, TRANSCEIVER, 0) for number in range(21)]
    assert len({upstream for upstream in taken if upstream}) == 20
    assert taken[20] is None


def test_upstream_addresses_are_claimed_and_released_by_host() -> None:
    pool = UpstreamPool(["192.0.2.1", "192.0.2.9"], range(20_000, 20_001), KEY, quarantine=120)
    assert pool.claim(Endpoint("192.0.2.9", 20_000))
    assert not pool.claim(Endpoint("192.0.2.9", 20_000))
    assert not pool.claim(Endpoint("192.0.2.77", 20_000))
    assert pool.take(client(1), VIP, TRANSCEIVER, 0) == Endpoint("192.0.2.1", 20_000)
    pool.release(Endpoint("192.0.2.9", 20_000), 0)
    assert pool.take(client(2), VIP, TRANSCEIVER, 119) is None
    assert pool.take(client(2), VIP, TRANSCEIVER, 120) == Endpoint("192.0.2.9", 20_000)
