"""What a host does to packets of sockets and not to those that the program forwards, in words."""

import socket
import subprocess
from collections.abc import Iterator

import pytest

from relay.dataplane.kernel import unseen
from relay.dataplane.kernel.unseen import Chain, Rule, of_chains, of_policies, of_rules
from relay.netns.host import Host
from tests.relay.dataplane.conftest import new_host

V4, V6 = socket.AF_INET, socket.AF_INET6
ROOT, SOMEBODY = 0, 1000


@pytest.mark.parametrize(
    ("rule", "user", "named"),
    [
        (Rule(V4, 77, mark=1), ROOT, "ip rule 77 (fwmark 0x1)"),
        (Rule(V6, 78, mark=0xFF), SOMEBODY, "ip -6 rule 78 (fwmark 0xff)"),
        (Rule(V4, 79, users=(0, 5)), SOMEBODY, "ip rule 79 (uidrange 0-5)"),
        (Rule(V4, 80, users=(1000, 1000)), SOMEBODY, "ip rule 80 (uidrange 1000-1000)"),
    ],
)
def test_a_rule_that_the_program_cannot_honour_is_named(rule: Rule, user: int, named: str) -> None:
    told = of_rules([Rule(V4, 0), rule, Rule(V4, 32766)], user)
    assert told is not None
    assert f"({named})" in told


@pytest.mark.parametrize(
    ("rule", "user"),
    [
        (Rule(V4, 100), ROOT),  # by address, port, protocol, DSCP: the program asks with those
        (Rule(V4, 100, mark=51820, inverted=True), ROOT),  # as wg-quick has it
        (Rule(V4, 100, users=(1000, 1000)), ROOT),  # the agent is not that user either
        (Rule(V4, 100, users=(0, 4294967294)), SOMEBODY),
    ],
)
def test_a_rule_that_holds_for_both_is_not_named(rule: Rule, user: int) -> None:
    assert of_rules([rule], user) is None


def test_chains_that_packets_of_local_sockets_meet_are_named() -> None:
    told = of_chains(
        [
            Chain("inet", "fw", "in", 1, acts=True),
            Chain("inet", "fw", "through", 2, acts=True),
            Chain("ip", "fw", "empty", 3, acts=False),
            Chain("netdev", "fw", "egress", 2, acts=True),
        ],
        ["filter"],
    )
    assert told is not None
    listed = "nftables inet fw in, nftables netdev fw egress, iptables-legacy filter"
    assert f"({listed})" in told


def test_of_many_some_are_named() -> None:
    told = of_policies(f"out 192.0.2.{n}/32 to 0.0.0.0/0" for n in range(9))
    assert told is not None
    assert "192.0.2.3/32 to 0.0.0.0/0 and 5 more)" in told


def test_where_nothing_is_nothing_is_said() -> None:
    assert (of_rules([], 0), of_policies([]), of_chains([], [])) == (None, None, None)


@pytest.mark.netns
class TestRealHost:
    """The kernel's own words."""

    @pytest.fixture
    def host(self) -> Iterator[Host]:
        with new_host() as host:
            yield host

    def run(self, host: Host, *lines: str) -> None:
        for line in lines:
            subprocess.run(host.command(line.split()), check=True)

    def look(self, host: Host) -> list[str]:
        with host.inside():
            return unseen.look()

    def test_a_plain_host_has_nothing(self, host: Host) -> None:
        assert self.look(host) == []

    def test_rules(self, host: Host) -> None:
        self.run(
            host,
            "ip rule add fwmark 0x10/0xff lookup 5 pref 77",
            "ip -6 rule add fwmark 3 lookup 5 pref 78",
            "ip rule add not fwmark 2 lookup 5 pref 79",
            "ip rule add from 192.0.2.1 ipproto 17 sport 20000-29999 lookup 5 pref 80",
            "ip rule add uidrange 1000-1000 lookup 5 pref 81",
        )
        (told,) = self.look(host)
        assert "(ip rule 77 (fwmark 0x10), ip -6 rule 78 (fwmark 0x3))" in told

    def test_policies(self, host: Host) -> None:
        esp = "tmpl proto esp mode transport"
        self.run(
            host,
            f"ip xfrm policy add src 192.0.2.0/24 dst 10.0.0.0/8 dir out {esp}",
            f"ip xfrm policy add src 2001:db8::/32 dst 2001:db8:5::/64 dir in {esp}",
            f"ip xfrm policy add src 0.0.0.0/0 dst 10.0.0.0/8 dir fwd {esp}",
        )
        (told,) = self.look(host)
        assert "out 192.0.2.0/24 to 10.0.0.0/8" in told
        assert "in 2001:db8::/32 to 2001:db8:5::/64" in told
        assert "0.0.0.0/0" not in told

    def test_chains(self, host: Host) -> None:
        self.run(
            host,
            "nft add table inet fw",
            "nft add chain inet fw closed { type filter hook input priority 0; policy drop; }",
            "nft add chain inet fw open { type filter hook output priority 0; policy accept; }",
            "nft add chain inet fw through { type filter hook forward priority 0; policy drop; }",
            "nft add chain inet fw called",
        )
        (told,) = self.look(host)
        assert "(nftables inet fw closed)" in told
        self.run(host, "nft add rule inet fw open udp dport 5 drop")
        (told,) = self.look(host)
        assert "(nftables inet fw closed, nftables inet fw open)" in told
