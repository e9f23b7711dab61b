"""The map of clients that are expected; what the program does with it is shown in tests/bpf."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from relay.core.flowtuple import Source
from relay.dataplane.kernel.dormantclients import DormantClients
from relay.dataplane.kernel.maps import DORMANT_CLIENTS
from relay.dataplane.kernel.pinnedmap import PinnedMap
from relay.dataplane.kernel.pins import Pins
from relay.wire.endpoint import Endpoint
from tests.relay.dataplane.loading import MAX_FLOWS, VIP

pytestmark = pytest.mark.bpf

ONE, OTHER = (Source(Endpoint("198.51.100.7", port), VIP) for port in (50_000, 50_001))


@pytest.fixture
def clients(pins: Pins) -> Iterator[DormantClients]:
    with closing(DormantClients(pins)) as clients:
        yield clients
        clients.clear()


def count(pins: Pins) -> int:
    with PinnedMap(pins.map(DORMANT_CLIENTS)) as table:
        return sum(1 for _ in table.items())


def test_clients_come_and_go(clients: DormantClients, pins: Pins) -> None:
    clients.add(ONE)
    clients.add(ONE)
    clients.add(OTHER)
    assert count(pins) == 2
    clients.discard(OTHER)
    clients.discard(OTHER)
    assert count(pins) == 1
    clients.clear()
    assert count(pins) == 0


def test_one_is_shown_with_its_addresses(clients: DormantClients, pins: Pins) -> None:
    clients.add(ONE)
    with PinnedMap(pins.map(DORMANT_CLIENTS)) as table:
        (shown,) = table.show()
    assert shown["key"]["client"] == "198.51.100.7"
    assert (shown["key"]["client_port"], shown["key"]["vip_port"]) == (50_000, VIP.port)


def test_those_beyond_the_room_are_left_out(clients: DormantClients, pins: Pins) -> None:
    for number in range(MAX_FLOWS + 3):
        clients.add(Source(Endpoint("198.51.100.8", number + 1), VIP))
    assert count(pins) == MAX_FLOWS
