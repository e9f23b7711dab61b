"""802.1Q tags on either side of a flow."""

from typing import TYPE_CHECKING

import pytest
from scapy.layers.inet import IP
from scapy.layers.l2 import Dot1Q, Ether

if TYPE_CHECKING:
    from tests.bpf.conftest import Bench

pytestmark = pytest.mark.bpf

RTP = bytes([0x80, 111]) + bytes(range(170))


def test_a_tag_is_taken_off(bench: "Bench") -> None:
    bench.install(client=bench.vlan_client)
    frame = bench.from_client(RTP, client=bench.vlan_client, vlan=bench.vlans["public"])
    assert bench.run(frame) == bench.outcome(
        "redirect", bench.to_transceiver(RTP), "forwarded_to_transceiver"
    )


def test_a_tag_is_put_on(bench: "Bench") -> None:
    bench.install(client=bench.vlan_client)
    assert bench.run(bench.from_transceiver(RTP), "internal") == bench.outcome(
        "redirect",
        bench.to_client(RTP, client=bench.vlan_client, vlan=bench.vlans["public"]),
        "forwarded_to_client",
    )


def test_a_tag_becomes_another(bench: "Bench") -> None:
    bench.install(client=bench.vlan_client, transceiver=bench.vlan_transceiver)
    frame = bench.from_client(RTP, client=bench.vlan_client, vlan=bench.vlans["public"])
    assert bench.run(frame).frame == bench.to_transceiver(
        RTP, to=bench.vlan_transceiver, vlan=bench.vlans["internal"]
    )


def test_a_tag_is_put_on_while_the_family_changes(bench: "Bench") -> None:
    bench.install(bench.client6, bench.vip6, bench.upstream, bench.vlan_transceiver)
    frame = bench.from_client(RTP, client=bench.client6, to=bench.vip6)
    assert bench.run(frame).frame == bench.to_transceiver(
        RTP, to=bench.vlan_transceiver, vlan=bench.vlans["internal"], id=0, flags="DF"
    )
    back = bench.from_transceiver(
        RTP, transceiver=bench.vlan_transceiver, vlan=bench.vlans["internal"]
    )
    assert bench.run(back, "internal").frame == bench.to_client(
        RTP, vip=bench.vip6, client=bench.client6
    )


@pytest.mark.parametrize("priority", [0, 5])
def test_a_tag_that_is_a_mere_priority_is_no_vlan(bench: "Bench", priority: int) -> None:
    bench.install()
    frame = Ether(bench.from_client(RTP, vlan=0))
    frame[Dot1Q].prio = priority
    assert bench.run(bytes(frame)) == bench.outcome(
        "redirect", bench.to_transceiver(RTP), "forwarded_to_transceiver"
    )


def test_the_priority_of_a_tag_does_not_matter(bench: "Bench") -> None:
    bench.install(client=bench.vlan_client)
    frame = Ether(bench.from_client(RTP, client=bench.vlan_client, vlan=bench.vlans["public"]))
    frame[Dot1Q].prio = 5
    assert bench.run(bytes(frame)).frame == bench.to_transceiver(RTP)


@pytest.mark.parametrize("vlan", [4, 6, 4095])
def test_a_vlan_that_this_interface_does_not_have(bench: "Bench", vlan: int) -> None:
    bench.install(client=bench.vlan_client)
    frame = bench.from_client(RTP, client=bench.vlan_client, vlan=vlan)
    assert bench.run(frame) == bench.outcome("pass", frame, "vlan_unknown")


@pytest.mark.parametrize("outer", [0x8100, 0x88A8])
def test_stacked_tags_are_left_to_the_network_stack(bench: "Bench", outer: int) -> None:
    bench.install(client=bench.vlan_client)
    tagged = Ether(bench.from_client(RTP, client=bench.vlan_client))
    ether = Ether(src=tagged.src, dst=tagged.dst, type=outer)
    number = bench.vlans["public"]
    frame = bytes(ether / Dot1Q(vlan=number) / Dot1Q(vlan=number) / tagged[IP])
    assert bench.run(frame) == bench.outcome("pass", frame, "vlan_stacked")


def test_a_tag_that_is_cut_off(bench: "Bench") -> None:
    frame = bench.from_client(RTP, vlan=bench.vlans["public"])[:17]
    assert bench.run(frame) == bench.outcome("pass", frame, "malformed")
