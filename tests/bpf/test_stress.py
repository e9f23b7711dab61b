"""Packets on all processors while flows come, go and move: none by another flow, none lost.

stress.c runs the program and looks at each packet; the table is written by the agent's own code.
ICELANE_STRESS_SECONDS is how long (3); what was counted is printed with `-s`.
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
from contextlib import closing
from pathlib import Path

import pytest

from relay.core.flowtuple import FlowTuple
from relay.dataplane import xdp
from relay.dataplane.kernel import bpfsys
from relay.dataplane.kernel.config import LoadConfig, Mode, Settings, UpstreamRange
from relay.dataplane.kernel.flowindex import FlowIndex
from relay.dataplane.kernel.flowtable import FlowTable
from relay.dataplane.kernel.pins import Pins
from relay.netns.host import Host
from relay.wire.endpoint import Endpoint

pytestmark = pytest.mark.bpf

SECONDS = float(os.environ.get("ICELANE_STRESS_SECONDS", "3"))
STABLE, PORTS, TRANSCEIVERS = 5_000, 4_096, 50
ALIVE = PORTS // 2  # flows at a time, of those that come and go
ROOM = STABLE + ALIVE  # so that the table is full, and entries have to move
VIP = Endpoint("203.0.113.10", 3478)
MAC = "02:00:00:00:00:01"


def endpoint(address: int, port: int) -> Endpoint:
    return Endpoint(".".join(map(str, address.to_bytes(4, "big"))), port)


def flow(number: int, *, stable: bool = False) -> FlowTuple:
    """The flow with a number, as stress.c has it."""
    client = endpoint((11 if stable else 10) << 24 | number & 0xFFFFFF, 1024 + number % 60_000)
    port = 2000 + number if stable else 30_000 + number % PORTS
    host = 254 if stable else 100 + number // PORTS % TRANSCEIVERS
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
            for link in netlink.get_links():
                netlink.link("set", index=link["index"], state="up")
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
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled stress.c."""
    if shutil.which("gcc") is None:
        pytest.skip("there is no C compiler: apt-get install gcc libc6-dev")
    built = tmp_path_factory.mktemp("stress") / "stress"
    source = Path(__file__).with_name("stress.c")
    command = ["gcc", "-O2", "-Wall", "-Wextra", "-pthread", str(source), "-o", str(built)]
    subprocess.run(command, check=True)
    return built


def test_no_packet_goes_astray_while_flows_come_go_and_move(
    loaded: tuple[Host, str],
    driver: Path,
    monkeypatch: pytest.MonkeyPatch,
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
    control = os.memfd_create("control")
    os.ftruncate(control, mmap.PAGESIZE)
    with host.netlink() as netlink:
        indexes = [str(netlink.link_lookup(ifname=n)[0]) for n in ("public", "internal")]
    with (
        closing(FlowTable(Pins(instance))) as table,
        mmap.mmap(control, mmap.PAGESIZE) as memory,
        bpfsys.pinned(Pins(instance).program) as program,
    ):
        words = memoryview(memory).cast("Q")
        for number in range(STABLE):
            table.install(flow(number, stable=True))
        arguments = [str(each) for each in (STABLE, PORTS, TRANSCEIVERS, os.cpu_count() or 1)]
        with host.inside():
            running = subprocess.Popen(
                ["nice", str(driver), str(program), str(control), *indexes, *arguments],
                stdout=subprocess.PIPE,
                pass_fds=(program, control),
            )
        count = _churn(table, words)
        words[1] = 1
        words.release()
        out, _ = running.communicate(timeout=30)
    os.close(control)
    counted = json.loads(out)
    told = counted | {"flows": count, "seconds": SECONDS, "moved": moved}
    sys.stdout.write(f"{told}\n")
    assert counted["wrong"] == 0
    assert counted["stable_lost"] == 0
    # Of the packets of flows that come and go, some met them.
    assert counted["sent"] * 0.6 < counted["forwarded"] < counted["sent"]
    assert moved > 0


def _churn(table: FlowTable, words: memoryview) -> int:
    """Install flows one after the other, and remove each when as many as live have come since."""
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
    return number
