"""What a relay of one process works on: everything."""

from hypothesis import given
from hypothesis import strategies as st

from relay.run.workers.shard import Shard
from relay.run.workers.worker import WHOLE, Worker
from relay.wire.endpoint import Endpoint


@given(st.integers(0, 2**32 - 1), st.integers(1, 65_535))
def test_where_there_are_no_others_all_clients_are_its_own(address: int, port: int) -> None:
    packed = bytes(10) + b"\xff\xff" + address.to_bytes(4, "big") + port.to_bytes(2, "big")
    assert WHOLE.shard.has(Endpoint.unpack(packed))


def test_it_binds_its_sockets_itself() -> None:
    assert WHOLE.sockets == {}


def test_workers_share_no_sockets_by_default() -> None:
    first, second = (Worker(Shard(index, 2, 0)) for index in range(2))
    assert first.sockets is not second.sockets


def test_a_part_knows_that_there_are_others() -> None:
    assert WHOLE.is_whole
    assert not Worker(Shard(0, 2, 0)).is_whole
