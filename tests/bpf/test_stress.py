"""Packets on all processors while flows come, go and move: none by another flow, none lost.

stress.c runs the program and looks at each packet. The table is written by the agent's own code,
and by churn.c, which makes the same stores, so that they come fast, too: hundreds of thousands of
changes a second. ICELANE_STRESS_SECONDS is how long each takes (3); what was counted is printed
with `-s`.
"""

import json
import mmap
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Self

import pytest

from relay.core.flowtuple import FlowTuple
from relay.dataplane import xdp
from relay.dataplane.kernel import bpfsys
from relay.dataplane.kernel.config import LoadConfig, Mode, Settings, UpstreamRange
from relay.dataplane.kernel.flowindex import STASH_BUCKETS, FlowIndex
from relay.dataplane.kernel.flowtable import FlowTable, read_hash
from relay.dataplane.kernel.ownaddresses import UPSTREAMS, VIPS, OwnTable
from relay.dataplane.kernel.pinnedmap import PinnedMap
from relay.dataplane.kernel.pins import Pins
from relay.netns.host import Host
from relay.netns.offload import Offload, set_offload
from relay.wire.endpoint import Endpoint
from tests.lab.links import bring_up

pytestmark = pytest.mark.bpf

SECONDS = float(os.environ.get("ICELANE_STRESS_SECONDS", "3"))
STABLE, PORTS, TRANSCEIVERS = 12_000, 4_096, 50
ALIVE = PORTS // 2  # flows at a time, of those that come and go
ROOM = STABLE + ALIVE  # so that the table is nearly full, and entries have to move
VIP = Endpoint("203.0.113.10", 3478)
MAC = "02:00:00:00:00:01"


def endpoint(address: int, port: int) -> Endpoint:
    return Endpoint(".".join(map(str, address.to_bytes(4, "big"))), port)


def replaces(number: int) -> bool:
    """Whether a flow of those that come and go takes its client from the one before."""
    return number % 4 == 1


def flow(number: int, *, stable: bool = False) -> FlowTuple:
    """The flow with a number, as stress.h has it."""
    of = number - 1 if replaces(number) and not stable else number
    client = endpoint((11 if stable else 10) << 24 | of & 0xFFFFFF, 1024 + of % 60_000)
    port = 2000 + number if stable else 30_000 + number % PORTS
    host = 254 if stable else 100 + (number // PORTS * 2 + number % 2) % TRANSCEIVERS
    return FlowTuple(
        client, VIP, Endpoint("192.0.2.1", port), Endpoint(f"192.0.2.{host}", 5000), bytes(21)
    )


@pytest.fixture
def loaded() -> Iterator[tuple[Host, str]]:
    """An instance on the interfaces `public` and `internal`, whose neighbours are known."""
    name = f"stress-{os.getpid()}-{secrets.token_hex(2)}"
    host = Host(name, "stress")
    host.create()
    try:
        with host.netlink() as netlink:
            for interface in ("public", "internal"):
                netlink.link("add", ifname=interface, kind="veth", peer=f"{interface}-far")
                index = netlink.link_lookup(ifname=interface)[0]
                netlink.link("set", index=index, address=MAC)
                with host.inside():
                    set_offload(f"{interface}-far", Offload.GRO, on=True)
            bring_up(netlink)
            public, internal = (netlink.link_lookup(ifname=n)[0] for n in ("public", "internal"))
            netlink.addr("add", index=public, address=VIP.host, prefixlen=24)
            netlink.addr("add", index=internal, address="192.0.2.1", prefixlen=24)
            netlink.route("add", dst="0.0.0.0/0", gateway="203.0.113.1")
            netlink.neigh("add", ifindex=public, dst="203.0.113.1", lladdr=MAC, state="permanent")
            for number in (*range(100, 100 + TRANSCEIVERS), 254):
                netlink.neigh(
                    "add", ifindex=internal, dst=f"192.0.2.{number}", lladdr=MAC, state="permanent"
                )
        ranges = (UpstreamRange("192.0.2.1", 2000, 30_000 + PORTS),)
        settings = Settings((VIP,), ranges, {})
        with host.inside():
            xdp.load(LoadConfig(name, ("public", "internal"), settings, ROOM, Mode.NATIVE))
        yield host, name
    finally:
        xdp.unload(name)
        host.remove()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the compiled stress.c and churn.c are."""
    if shutil.which("gcc") is None:
        pytest.skip("there is no C compiler: apt-get install gcc libc6-dev")
    directory = tmp_path_factory.mktemp("stress")
    # The layouts are bpf/relay.h's, which includes headers as the kernel's sources have them.
    (directory / "uapi").symlink_to("/usr/include")
    for name in ("stress", "churn"):
        source = str(Path(__file__).with_name(f"{name}.c"))
        command = ["gcc", "-O2", "-Wall", "-Wextra", "-pthread", "-I", str(directory), source]
        subprocess.run([*command, "-o", str(directory / name)], check=True)
    return directory


class Traffic:
    """Packets of the flows that stay, and of those that come and go, while it is running.

    Args:
        host: Where the program runs.
        instance: Its name.
        stress: The compiled stress.c.

    Attributes:
        control: Memory that holds struct control of stress.h.
        words: The same, in words.
        counted: What was counted, once it has ended.
    """

    def __init__(self, host: Host, instance: str, stress: Path) -> None:
        self._host, self._instance, self._stress = host, instance, stress
        self.control = os.memfd_create("control")
        os.ftruncate(self.control, mmap.PAGESIZE)
        self.words = memoryview(mmap.mmap(self.control, mmap.PAGESIZE)).cast("Q")
        self.counted: dict[str, int] = {}

    def __enter__(self) -> Self:
        with self._host.netlink() as netlink:
            indexes = [str(netlink.link_lookup(ifname=n)[0]) for n in ("public", "internal")]
        numbers = [str(each) for each in (STABLE, PORTS, TRANSCEIVERS, os.cpu_count() or 1)]
        with bpfsys.pinned(Pins(self._instance).program) as program, self._host.inside():
            descriptors = str(program), str(self.control)
            self._running = subprocess.Popen(
                ["nice", str(self._stress), *descriptors, *indexes, *numbers],
                stdout=subprocess.PIPE,
                pass_fds=(program, self.control),
            )
        return self

    def __exit__(self, *_: object) -> None:
        self.words[1] = 1
        self.counted = json.loads(self._running.communicate(timeout=30)[0])
        os.close(self.control)

    def assert_nothing_went_astray(self) -> None:
        assert self.counted["wrong"] == 0
        assert self.counted["lost"] == 0  # of flows that were there all the time
        # Of the packets of flows that come and go, some met them.
        assert self.counted["sent"] * 0.6 < self.counted["forwarded"] < self.counted["sent"]


def test_no_packet_goes_astray_while_flows_come_go_and_move(
    loaded: tuple[Host, str], built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, instance = loaded
    moved = 0

    def move(index: FlowIndex, place: int) -> bool:
        nonlocal moved
        done = move_entry(index, place)
        moved += done
        return done

    move_entry = FlowIndex._move
    monkeypatch.setattr(FlowIndex, "_move", move)
    with closing(FlowTable(Pins(instance))) as table:
        for number in range(STABLE):
            table.install(flow(number, stable=True))
        with Traffic(host, instance, built / "stress") as traffic:
            changes = _churn(table, traffic.words)
    told = traffic.counted | {"changes": changes, "seconds": SECONDS, "moved": moved}
    sys.stdout.write(f"{told}\n")
    traffic.assert_nothing_went_astray()
    assert moved > 0


def test_no_packet_goes_astray_while_flows_change_as_fast_as_can_be(
    loaded: tuple[Host, str], built: Path
) -> None:
    host, instance = loaded
    pins = Pins(instance)
    with closing(FlowTable(pins)) as table:
        for number in range(STABLE):
            table.install(flow(number, stable=True))
    with Traffic(host, instance, built / "stress") as traffic:
        done = _churn_fast(pins, traffic, built / "churn")
    sys.stdout.write(f"{traffic.counted | done}\n")
    traffic.assert_nothing_went_astray()
    assert done["moved"] > 0
    assert done["changes"] > 10 * PORTS  # so that ports, records and transceivers came again
    # It has left what the agent's code would have left: flows, and their entries.
    alive = range(done["next"] - ALIVE, done["next"])
    there = [flow(number) for number in alive if not replaces(number + 1)]
    stay = [flow(number, stable=True) for number in range(STABLE)]
    with closing(FlowTable(pins)) as table:
        assert sorted(table.tuples()) == sorted(there + stay)
        assert [table.of_client(each.from_client) for each in there + stay] == there + stay
        for number in alive:
            table.remove(flow(number))
        assert sorted(table.tuples()) == sorted(stay)
        assert table.count() == STABLE


def _churn_fast(pins: Pins, traffic: Traffic, churn: Path) -> dict[str, Any]:
    """Let churn.c do the same as `_churn`; what it did."""
    seed, _ = read_hash(pins)
    names = "flow_records", "flow_routes", "flow_index", "transceivers"
    with (
        closing(OwnTable(pins, VIPS)) as vips,
        closing(OwnTable(pins, UPSTREAMS)) as upstreams,
        ExitStack() as opened,
    ):
        maps = [opened.enter_context(PinnedMap(pins.map(name))) for name in names]
        vip = vips.number(VIP.packed)
        upstream = upstreams.number(flow(0).packed_upstream[:16])
        buckets = maps[2].info.max_entries - STASH_BUCKETS
        last = maps[3].info.max_entries - 4  # the agent's code takes the first ones first
        descriptors = [traffic.control, *(each.fileno() for each in maps)]
        places = [seed, buckets, vip, upstream, upstreams.base(upstream), last]
        arguments = [*descriptors, *places, PORTS, TRANSCEIVERS, SECONDS]
        done = subprocess.run(
            [str(churn), *map(str, arguments)],
            pass_fds=descriptors,
            check=True,
            capture_output=True,
        )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _churn(table: FlowTable, words: memoryview) -> int:
    """Install flows one after the other, and remove each when as many as live have come since.

    Returns:
        How many changes that were.
    """
    number = 0
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        for _ in range(ALIVE):
            if number >= ALIVE:
                table.remove(flow(number - ALIVE))
            table.install(flow(number))
            words[0] = number
            number += 1
        table.settle()  # its ports are used again when the next ones have been
    return 2 * number - ALIVE
