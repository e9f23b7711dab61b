"""Where in the kernel's structures the programs look for whose packet was lost."""

import struct
from pathlib import Path

import pytest

from relay import linux
from relay.dataplane.kernel import losses
from relay.dataplane.kernel.pinnedmap import PinnedMap
from relay.dataplane.kernel.pins import Pins

KERNEL_TYPES = Path("/sys/kernel/btf/vmlinux")


def types(*structures: tuple[str, dict[str, int]], flag: bool = False) -> bytes:
    """Type information of structures: their members' places in bytes."""
    words = [word for name, members in structures for word in (name, *members)]
    text = b"\0" + b"\0".join(word.encode() for word in words) + b"\0"
    table = b""
    for name, members in structures:
        at = text.index(b"\0" + name.encode() + b"\0") + 1
        table += struct.pack("=III", at, flag << 31 | 4 << 24 | len(members), 8)
        for member, place in members.items():
            at = text.index(b"\0" + member.encode() + b"\0") + 1
            table += struct.pack("=III", at, 1, place * 8 | (flag and 3 << 24))
    head = struct.pack("=HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(table), len(table), len(text))
    return head + table + text


DEVICE = ("net_device", {"state": 0, "ifindex": 224, "nd_net": 264})


@pytest.mark.parametrize("flag", [False, True], ids=["plain", "with fields of bits"])
def test_places_are_found_by_name(*, flag: bool) -> None:
    known = types(DEVICE, ("net", {"ns": 152}), ("ns_common", {"inum": 24}), flag=flag)
    assert losses.find_places(known) == (224, 264, 176)


@pytest.mark.parametrize(
    "known",
    [types(DEVICE), types(DEVICE, ("net", {"ns": 0}), ("ns_common", {"stashed": 0}))],
    ids=["no structure", "no member"],
)
def test_what_a_kernel_does_not_tell_is_said(known: bytes) -> None:
    with pytest.raises(OSError, match=r"has no (ns|inum) in the kernel's type information"):
        losses.find_places(known)


@pytest.mark.skipif(not KERNEL_TYPES.exists(), reason="this kernel does not tell its types")
def test_they_are_found_in_the_running_kernel() -> None:
    places = losses.find_places(KERNEL_TYPES.read_bytes())
    assert 0 < places.ifindex_at < 8192
    assert 0 < places.net_at < 8192


@pytest.mark.bpf
def test_an_instance_counts_for_its_own_namespace(pins: Pins) -> None:
    with PinnedMap(pins.map("losses")) as table:
        assert losses.read(table) == {"redirect_failed": 0, "transmit_dropped": 0}
        (row,) = table.show()
    assert row["value"]["netns"] != linux.netns_inode()
    assert {"tracepoint-xdp_redirect_err", "tracepoint-xdp_devmap_xmit"} <= {
        path.name for path in pins.directory.iterdir()
    }


COUNTERS = {"forwarded_to_transceiver": 100, "forwarded_to_client": 50, "no_route": 7}


@pytest.mark.bpf
@pytest.mark.parametrize(
    ("lost", "from_clients", "to_transceiver", "to_client"),
    [(0, 0, 100, 50), (30, 30, 70, 50), (30, 0, 100, 20), (30, 10, 90, 30), (120, 0, 30, 0)],
)
def test_what_was_lost_was_not_forwarded(
    pins: Pins, lost: int, from_clients: int, to_transceiver: int, to_client: int
) -> None:
    with PinnedMap(pins.map("losses")) as table:
        key, before = table.key.number(0), table.lookup(table.key.number(0))
        assert before is not None
        try:
            row = {"transmit_dropped": lost, "from_clients": from_clients}
            table.update(key, table.value.pack(row))
            assert losses.delivered(table, COUNTERS.copy) == {
                "forwarded_to_transceiver": to_transceiver,
                "forwarded_to_client": to_client,
                "no_route": 7,
            }
        finally:
            table.update(key, before)
