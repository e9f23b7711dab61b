"""Changes to a real namespace are told at once, in order, and not too often."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Self

import pytest
from pyroute2 import IPRoute
from pyroute2.netlink.rtnl.ndmsg import NUD_PERMANENT

from relay.dataplane.kernel import networkwatch
from relay.dataplane.kernel.networkchanges import Change
from relay.dataplane.kernel.networkwatch import PAUSE, NetworkWatch
from relay.errors import DataplaneError
from relay.netns.host import Host
from tests.relay.dataplane.conftest import new_host

pytestmark = pytest.mark.netns

MAC = "02:00:00:00:00:07"
LIMIT = 5.0  # seconds; mostly it takes less than one millisecond
TIMER = 0.001  # seconds by which a loop's timer may be early


@pytest.fixture
def host() -> Iterator[Host]:
    """A host with the interfaces a and b."""
    with new_host() as host:
        yield host


class Watching:
    """A watch of a host while entered, what it told, and when."""

    def __init__(self, host: Host) -> None:
        self.told: deque[tuple[float, set[Change]]] = deque()
        with host.inside():
            self.watch = NetworkWatch(asyncio.get_running_loop(), self._on_change)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.watch.close()

    def _on_change(self, changes: set[Change]) -> None:
        self.told.append((time.monotonic(), set(changes)))

    async def next(self) -> tuple[float, set[Change]]:
        """What is told next, and when."""
        async with asyncio.timeout(LIMIT):
            while not self.told:  # noqa: ASYNC110  # told by a callback
                await asyncio.sleep(0.001)
        return self.told.popleft()

    async def until(self, kind: Change) -> float:
        """When a kind of change is told; before it come those of interfaces that were just made."""
        while True:
            when, changes = await self.next()
            if kind in changes:
                return when


async def make(host: Host, change: Callable[[IPRoute], None]) -> None:
    """Change a host; in a thread, because the library has a loop of its own."""
    await asyncio.to_thread(make_blocking, host, change)


def make_blocking(host: Host, change: Callable[[IPRoute], None]) -> None:
    with host.netlink() as netlink:
        change(netlink)


def index(netlink: IPRoute, name: str) -> int:
    found: int = netlink.link_lookup(ifname=name)[0]
    return found


def add_route(netlink: IPRoute) -> None:
    netlink.route("add", dst="198.51.100.0/24", type="blackhole")


def add_rule(netlink: IPRoute) -> None:
    netlink.rule("add", tos=0x10, table=100, priority=100)


def add_neighbour(netlink: IPRoute) -> None:
    netlink.neigh(
        "add", dst="192.0.2.9", lladdr=MAC, ifindex=index(netlink, "a"), state=NUD_PERMANENT
    )


def change_mac(netlink: IPRoute) -> None:
    netlink.link("set", index=index(netlink, "a"), address=MAC)


def change_mtu(netlink: IPRoute) -> None:
    netlink.link("set", index=index(netlink, "a"), mtu=1400)


def add_address(netlink: IPRoute) -> None:
    netlink.addr("add", index=index(netlink, "b"), address="192.0.2.1", prefixlen=24)


def add_routes_one_by_one(netlink: IPRoute) -> Iterator[None]:
    for number in range(250):
        yield
        netlink.route("add", dst=f"198.18.0.{number}/32", type="blackhole")


def add_routes(netlink: IPRoute) -> None:
    for _ in add_routes_one_by_one(netlink):
        pass


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (add_route, Change.ROUTES),
        (add_rule, Change.ROUTES),
        (add_neighbour, Change.NEIGHBOURS),
        (change_mac, Change.LINKS),
        (change_mtu, Change.LINKS),
        (add_address, Change.ADDRESSES),
    ],
)
async def test_a_change_is_told_at_once_and_once_more(
    host: Host, change: Callable[[IPRoute], None], kind: Change
) -> None:
    with Watching(host) as watching:
        await make(host, change)
        first = await watching.until(kind)
        second = await watching.until(kind)
        assert second - first >= PAUSE - TIMER
        assert watching.watch.counters[kind] >= 1


async def test_a_setting_is_told(host: Host) -> None:
    with Watching(host) as watching:
        host.sysctl("ipv4/conf/lo/forwarding", 1 - host.sysctl("ipv4/conf/lo/forwarding"))
        await watching.until(Change.SETTINGS)


async def test_many_changes_are_told_together_and_the_last_one_is_not_forgotten(
    host: Host,
) -> None:
    with Watching(host) as watching:
        began: list[float] = []  # before each of them: what is told of the last one comes later

        def add(netlink: IPRoute) -> None:
            began.extend(time.monotonic() for _ in add_routes_one_by_one(netlink))

        await make(host, add)
        started, last = began[0], began[-1]
        times = [await watching.until(Change.ROUTES)]
        while watching.watch.counters[Change.ROUTES] < 250 or times[-1] < last:
            times.append((await watching.next())[0])
    # Not each of them: one may be late, and the next in time.
    assert len(times) <= (times[-1] - started) / (PAUSE - TIMER) + 1


async def test_what_did_not_fit_counts_as_all_kinds_of_change(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(networkwatch, "_BUFFER", 4096)
    with Watching(host) as watching:
        making = threading.Thread(target=make_blocking, args=(host, add_routes))
        making.start()
        making.join()  # the loop does not run meanwhile
        assert (await watching.next())[1] == set(Change)


async def test_once_closed_it_is_silent(host: Host) -> None:
    with Watching(host) as watching:
        await make(host, add_route)
        await watching.until(Change.ROUTES)
    watching.told.clear()
    with Watching(host) as another:
        await make(host, add_rule)
        await another.until(Change.ROUTES)
        await another.until(Change.ROUTES)
    assert not watching.told


async def test_a_kernel_that_does_not_tell_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networkwatch, "_GROUPS", (1 << 20,))
    with pytest.raises(DataplaneError, match="does not tell of changes"):
        NetworkWatch(asyncio.get_running_loop(), lambda _: None)
