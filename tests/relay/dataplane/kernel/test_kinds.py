"""Which interfaces can run the program: all kinds by what the kernel says of them, and real ones.

Not every kernel can make every kind; the real ones that this one cannot are skipped by name.
"""

import subprocess
from collections.abc import Iterator
from contextlib import closing

import pytest

from relay.dataplane.kernel.kinds import unfit
from relay.dataplane.kernel.pins import Pins
from relay.dataplane.kernel.rtnetlink import ARPHRD_LOOPBACK, Link
from relay.dataplane.xdp import XdpDataplane
from relay.errors import DataplaneError
from relay.netns.host import Host
from tests.relay.dataplane.conftest import new_host
from tests.relay.dataplane.loading import NewConfig, load

MAC = bytes.fromhex("020000000001")
NAMES = {1: "lo", 2: "eth0", 3: "it", 9: "whole"}
NO_ETHERNET = "has no Ethernet header"
# linux/if_arp.h
NONE, RAWIP, PPP, TUNNEL, TUNNEL6, SIT, GRE, INFINIBAND = 0xFFFE, 519, 512, 768, 769, 776, 778, 32


def reason(link: Link, *others: Link) -> str | None:
    """Why it cannot run the program."""
    told = unfit([Link(2, mac=MAC), link, *others], [2, 3], NAMES)
    return told[0] if told else None


@pytest.mark.parametrize(
    ("link", "words"),
    [
        (Link(3, kind="tun", hardware=NONE), f"it (tun) {NO_ETHERNET}"),
        (Link(3, kind="wireguard", hardware=NONE), f"it (wireguard) {NO_ETHERNET}"),
        (Link(3, kind="ppp", hardware=PPP), f"it (ppp) {NO_ETHERNET}"),
        (Link(3, kind="ipip", mac=b"abcd", hardware=TUNNEL), f"it (ipip) {NO_ETHERNET}"),
        (Link(3, kind="ip6tnl", mac=bytes(16), hardware=TUNNEL6), f"it (ip6tnl) {NO_ETHERNET}"),
        (Link(3, kind="sit", mac=b"abcd", hardware=SIT), f"it (sit) {NO_ETHERNET}"),
        (Link(3, kind="gre", mac=b"abcd", hardware=GRE), f"it (gre) {NO_ETHERNET}"),
        (Link(3, kind="rmnet", hardware=RAWIP), f"it (rmnet) {NO_ETHERNET}"),
        (Link(3, kind="ipoib", mac=bytes(20), hardware=INFINIBAND), f"it (ipoib) {NO_ETHERNET}"),
        (Link(3, kind="netkit", mac=bytes(6)), f"it (netkit) {NO_ETHERNET}"),  # its layer 3 mode
        (Link(3, hardware=ARPHRD_LOOPBACK, mac=bytes(6)), "it is the loopback interface"),
        (Link(3, kind="dummy", mac=MAC), "it is of the kind dummy: no packet comes in"),
        (Link(3, kind="ifb", mac=MAC), "it is of the kind ifb: no packet comes in"),
        (Link(3, kind="ipvlan", lower=2, mac=MAC), "it is of the kind ipvlan: it shares a MAC"),
        (Link(3, kind="macvtap", lower=2, mac=MAC), "it is of the kind macvtap: its packets go"),
        (
            Link(3, kind="vlan", lower=2, vlan=5, mac=MAC),
            "it is a VLAN above eth0: name eth0, and the XDP program knows its VLANs.",
        ),
        (Link(3, kind="vlan", lower=2, mac=MAC), "it is a VLAN with service tags (802.1ad)"),
    ],
    ids=lambda each: each.kind or "loopback" if isinstance(each, Link) else "",
)
def test_a_kind_that_cannot_forward_is_refused_by_name(link: Link, words: str) -> None:
    told = reason(link)
    assert told is not None
    assert told.startswith(words)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("bond", "it is a part of the bond whole, which has the addresses and the routes: name wh"),
        ("bridge", "it is a port of the bridge whole, which has the addresses"),
        ("team", "it is a part of the team whole, which has the addresses"),
        ("vrf", "it is in the VRF whole, of whose routes the XDP program knows nothing"),
        ("openvswitch", "it is a part of whole (openvswitch), which takes its packets"),
        ("", "it is a part of whole, which takes its packets"),
    ],
)
def test_a_part_of_something_is_refused_by_name(kind: str, words: str) -> None:
    told = reason(Link(3, master=9, mac=MAC, kind="veth"), Link(9, kind=kind, mac=MAC))
    assert told is not None
    assert told.startswith(words)


@pytest.mark.parametrize(
    "link",
    [
        Link(3, mac=MAC),  # hardware
        *(
            Link(3, kind=kind, lower=2, mac=MAC)
            for kind in ("veth", "tun", "bond", "team", "bridge", "macvlan", "vxlan", "gretap")
        ),
        Link(3, kind="vlan", lower=8, vlan=5, netns=0, mac=MAC),  # in a container
        Link(3, kind="netkit", lower=2, mac=MAC),
    ],
    ids=lambda link: link.kind or "hardware",
)
def test_of_the_others_their_drivers_decide(link: Link) -> None:
    assert reason(link) is None


ETHERNET = "link add k0 address 02:00:00:00:07:01 type"
REFUSED = {
    "tun": ("tuntap add k0 mode tun", NO_ETHERNET),
    "ipip": ("link add k0 type ipip local 192.0.2.1 remote 192.0.2.2", NO_ETHERNET),
    "sit": ("link add k0 type sit local 192.0.2.1 remote 192.0.2.2", NO_ETHERNET),
    "gre": ("link add k0 type gre local 192.0.2.1 remote 192.0.2.2", NO_ETHERNET),
    "wireguard": ("link add k0 type wireguard", NO_ETHERNET),
    "dummy": (f"{ETHERNET} dummy", "is of the kind dummy"),
    "ifb": (f"{ETHERNET} ifb", "is of the kind ifb"),
    "ipvlan": ("link add k0 link a type ipvlan", "is of the kind ipvlan"),
    "vlan": ("link add k0 link a type vlan id 5", "is a VLAN above a: name a"),
    "service VLAN": ("link add k0 link a type vlan protocol 802.1ad id 5", "802.1ad"),
    "part of a bond": (
        "link add w0 type bond;link set dev b down;link set dev b master w0",
        "the bond w0",
    ),
    "port of a bridge": ("link add w0 type bridge;link set dev b master w0", "the bridge w0"),
    "part of a team": (
        "link add w0 type team;link set dev b down;link set dev b master w0",
        "the team w0",
    ),
    "in a VRF": ("link add w0 type vrf table 5;link set dev b master w0", "is in the VRF w0"),
}
FALLS_BACK = {
    "bridge": f"{ETHERNET} bridge",
    "macvlan": "link add k0 link a type macvlan mode bridge",
    "vxlan": f"{ETHERNET} vxlan id 3 dstport 4789",
}


@pytest.mark.netns
@pytest.mark.bpf
@pytest.mark.kinds
class TestReal:
    """Those that this kernel can make."""

    @pytest.fixture
    def host(self) -> Iterator[Host]:
        with new_host() as host:
            yield host

    def make(self, host: Host, commands: str) -> None:
        for command in commands.split(";"):
            line = host.command(["ip", *command.split()])
            done = subprocess.run(line, capture_output=True, text=True, check=False)
            if done.returncode and any(
                sign in done.stderr for sign in ("Unknown device type", "not supported")
            ):
                pytest.skip(f"this kernel cannot: ip {command}: {done.stderr.strip()}")
            assert done.returncode == 0, done.stderr

    @pytest.mark.parametrize("kind", REFUSED)
    def test_is_refused_in_words_and_nothing_is_left(
        self, host: Host, new_config: NewConfig, kind: str
    ) -> None:
        commands, words = REFUSED[kind]
        self.make(host, commands)
        config = new_config("b" if " w0" in commands else "k0")
        with pytest.raises(DataplaneError, match=words.replace("(", r"\(")):
            load(host, config)
        assert not Pins(config.instance).directory.exists()

    @pytest.mark.parametrize("kind", FALLS_BACK)
    def test_falls_back_to_generic_mode_with_the_reason(
        self, host: Host, new_config: NewConfig, kind: str
    ) -> None:
        self.make(host, FALLS_BACK[kind])
        report = load(host, new_config("k0"))
        assert report.interfaces == {"k0": "generic"}
        assert any("k0 refuses native mode" in each for each in report.warnings)

    def test_one_that_becomes_a_part_later_is_told_once(
        self, host: Host, new_config: NewConfig
    ) -> None:
        config = new_config("b")
        load(host, config)
        with host.inside(), closing(XdpDataplane(config.instance)) as dataplane:
            assert dataplane.reconcile() == []
            self.make(host, "link add w0 type bridge;link set dev b master w0")
            (told,) = dataplane.reconcile()
            assert told.startswith("b is a port of the bridge w0")
            assert dataplane.reconcile() == []
            assert dataplane.status().unseen == (told,)

    def test_the_loopback_interface_is_refused(self, host: Host, new_config: NewConfig) -> None:
        with pytest.raises(DataplaneError, match="lo is the loopback interface"):
            load(host, new_config("lo"))
