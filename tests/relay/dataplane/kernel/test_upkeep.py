"""An agent keeps what the program remembers true: generations, and what comes in where."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

import pytest

from relay import linux
from relay.dataplane.kernel import loforwarding
from relay.dataplane.kernel.networkchanges import Change
from relay.dataplane.kernel.nexthops import WATCH_LEASE, NextHops
from relay.dataplane.kernel.pinnedmap import PinnedMap
from relay.dataplane.kernel.pins import Pins
from relay.dataplane.kernel.privileged import AsRoot
from relay.dataplane.kernel.settings import write_settings
from relay.dataplane.kernel.txports import renew_tx_ports, write_tx_ports
from relay.dataplane.kernel.upkeep import Upkeep
from relay.dataplane.xdp import XdpDataplane
from relay.netns.host import Host
from tests.relay.dataplane.conftest import SETTINGS, UPSTREAM

pytestmark = [pytest.mark.netns, pytest.mark.bpf]

LIMIT = 5.0  # seconds


@contextmanager
def keeping_up(host: Host, pins: Pins) -> Iterator[tuple[NextHops, Upkeep]]:
    loop = asyncio.get_running_loop()
    with (
        NextHops(pins) as hops,
        host.inside(),
        closing(Upkeep(AsRoot(pins.instance), hops, loop)) as upkeep,
    ):
        yield hops, upkeep


async def become(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT):
        while not true():  # noqa: ASYNC110  # a map of the kernel knows no events
            await asyncio.sleep(0.001)


async def set_link(host: Host, name: str, **fields: Any) -> None:
    def change() -> None:  # in a thread, because the library has a loop of its own
        with host.netlink() as netlink:
            netlink.link("set", index=netlink.link_lookup(ifname=name)[0], **fields)

    await asyncio.to_thread(change)


async def move_address(host: Host, old: int | str, new: int | str) -> None:
    def change() -> None:
        with host.netlink() as netlink:
            for how, where in (("del", old), ("add", new)):
                index = netlink.link_lookup(ifname=where)[0] if isinstance(where, str) else where
                netlink.addr(how, index=index, address=UPSTREAM, prefixlen=32)

    await asyncio.to_thread(change)


def ingresses(pins: Pins) -> list[tuple[str, int]]:
    """MAC addresses and sides of what the program knows."""
    with PinnedMap(pins.map("ingresses")) as table:
        rows = [each["value"] for each in table.show()]
    return [(str(row["mac"]), int(row["sides"])) for row in rows if row["ifindex"]]


def watched(pins: Pins) -> int:
    with PinnedMap(pins.map("leases")) as table:
        (row,) = (each["value"] for each in table.show())
    return int(row["watched_ns"])


async def test_flows_ask_again_when_it_begins_and_when_something_changes(
    maps_host: Host, pins: Pins
) -> None:
    with NextHops(pins) as before:
        generation = before.generation
    with keeping_up(maps_host, pins) as (hops, upkeep):
        assert hops.generation == generation + 1
        await set_link(maps_host, "b", mtu=1400)
        await become(lambda: hops.generation >= generation + 3)
        assert upkeep.counters[Change.LINKS] >= 1
    await set_link(maps_host, "b", mtu=1500)


async def test_the_program_hears_all_the_time_that_somebody_watches(
    maps_host: Host, pins: Pins
) -> None:
    with keeping_up(maps_host, pins):
        for _ in range(3):
            last = watched(pins)
            assert time.clock_gettime_ns(time.CLOCK_MONOTONIC) - last < WATCH_LEASE * 1e9
            await become(lambda last=last: watched(pins) > last)  # type: ignore[misc]
    assert watched(pins) == 0


async def test_an_interface_with_another_mac_address_is_known_by_it(
    maps_host: Host, pins: Pins
) -> None:
    with keeping_up(maps_host, pins):
        for mac in ("020000000a01", "020000000a02"):
            text = ":".join(mac[at : at + 2] for at in range(0, 12, 2))
            await set_link(maps_host, "a", address=text)
            await become(lambda mac=mac: mac in dict(ingresses(pins)))  # type: ignore[misc]


async def test_an_address_that_moves_takes_the_transceivers_side_along(
    maps_host: Host, pins: Pins
) -> None:
    def sides() -> list[int]:
        return sorted(side for _, side in ingresses(pins))

    # The other one is nowhere, and where one is, nobody could tell.
    write_settings(pins, replace(SETTINGS, upstreams=SETTINGS.upstreams[:1]))
    with keeping_up(maps_host, pins):
        await move_address(maps_host, 1, "b")
        await become(lambda: sides() == [1, 3])
        await move_address(maps_host, "b", 1)
        await become(lambda: sides() == [3, 3])  # on the loopback interface nobody can tell


async def test_a_sweep_finds_what_was_missed(maps_host: Host, pins: Pins) -> None:
    with closing(XdpDataplane(pins.instance)) as dataplane, maps_host.inside():
        await set_link(maps_host, "a", address="02:00:00:00:0a:03")
        assert "020000000a03" not in dict(ingresses(pins))
        assert dataplane.reconcile() == []
        assert "020000000a03" in dict(ingresses(pins))


async def test_a_dataplane_is_watched_once_and_counts(maps_host: Host, pins: Pins) -> None:
    with closing(XdpDataplane(pins.instance)) as dataplane:
        assert dataplane.changes() == {change.value: 0 for change in Change}
        with maps_host.inside():
            dataplane.watch(asyncio.get_running_loop(), lambda: None)
            with NextHops(pins) as hops:
                generation = hops.generation
                dataplane.watch(asyncio.get_running_loop(), lambda: None)
                assert hops.generation == generation
        await set_link(maps_host, "b", mtu=1400)
        await become(lambda: dataplane.changes()["links"] > 0)
    assert watched(pins) == 0
    await set_link(maps_host, "b", mtu=1500)


@pytest.mark.parametrize("written", ["ipv4/ip_forward", "ipv6/conf/all/forwarding"])
async def test_forwarding_that_somebody_switches_off_goes_on_at_once(
    maps_host: Host, pins: Pins, written: str
) -> None:
    def is_on() -> bool:
        with maps_host.inside():
            return all(linux.sysctl(name) == 1 for name in loforwarding.SETTINGS)

    with keeping_up(maps_host, pins) as (_, upkeep):
        upkeep.mended()
        maps_host.sysctl(written, 1)
        await become(is_on)
        maps_host.sysctl(written, 0)
        told: list[str] = []

        def is_told() -> bool:
            told.extend(upkeep.mended())
            return bool(told)

        await become(is_told)
        assert is_on()
        assert "had been switched off" in told[0]


async def test_the_ways_out_are_looked_at_when_an_interface_comes(
    maps_host: Host, pins: Pins
) -> None:
    """So is a VLAN that is made while the relay runs; this one is only gone from the table."""
    with maps_host.inside():
        renew_tx_ports(pins)
    right = tx_ports(pins)
    assert len(right) == 2
    with keeping_up(maps_host, pins):
        await asyncio.sleep(0)
        write_tx_ports(pins, [])
        await set_link(maps_host, "b", mtu=1400)
        await become(lambda: tx_ports(pins) == right)
    await set_link(maps_host, "b", mtu=1500)


def tx_ports(pins: Pins) -> list[int]:
    with PinnedMap(pins.map("tx_ports")) as table:
        return sorted(int(row["value"]["ifindex"]) for row in table.show())
