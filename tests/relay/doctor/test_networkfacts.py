"""What a real host does to packets and ports."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict

import pytest

from relay import linux
from relay.doctor import networkfacts
from relay.netns.host import Host
from tests.ports import PORTS, free_port
from tests.relay.dataplane.conftest import new_host

LOOK = """
import json
from dataclasses import asdict
from relay.doctor import networkfacts
print(json.dumps(asdict(networkfacts.network(0, [], []))))
"""


@pytest.mark.netns
class TestHosts:
    """Hosts on which something is really so."""

    @pytest.fixture
    def host(self) -> Iterator[Host]:
        with new_host() as host:
            yield host

    def run(self, host: Host, *lines: str) -> None:
        for line in lines:
            subprocess.run(host.command(line.split()), check=True)

    def test_rules_policies_and_chains_are_found(self, host: Host) -> None:
        self.run(
            host,
            "ip rule add fwmark 0x10 lookup 5 pref 77",
            "ip xfrm policy add src 192.0.2.0/24 dst 10.0.0.0/8 dir out tmpl proto esp",
            "nft add table inet fw",
            "nft add chain inet fw in { type filter hook input priority 0; policy drop; }",
        )
        with host.inside():
            found = networkfacts.network(0, ["udp dport 3478"], [])
        assert [each.mark for each in found.rules or () if each.mark] == [0x10]
        assert found.policies == ["out 192.0.2.0/24 to 10.0.0.0/8"]
        assert [each.name for each in found.chains or ()] == ["in"]
        assert "nft add rule inet fw in udp dport 3478 accept" in (found.firewall or "")

    def test_what_a_process_may_not_know_is_none(self, host: Host) -> None:
        drop = ("setpriv", "--bounding-set=-net_admin", sys.executable, "-c", LOOK)
        ran = subprocess.run(host.command(drop), check=True, capture_output=True, text=True)
        found = json.loads(ran.stdout)
        assert (found["policies"], found["chains"]) == (None, None)
        assert found["rules"]  # which everybody may list

    def test_the_range_of_ports_is_the_namespaces(self, host: Host) -> None:
        with host.inside():
            (linux.SYSCTL / "net/ipv4/ip_local_port_range").write_text("10100 10199")
            (linux.SYSCTL / "net/ipv4/ip_local_reserved_ports").write_text("5,10150-10159")
            found = networkfacts.ports([range(10_000, 11_000)], (), running=False)
        assert found.ephemeral == (10_100, 10_199)
        assert found.reserved == (range(5, 6), range(10_150, 10_160))


@pytest.mark.parametrize(
    ("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]
)
def test_ports_of_others_are_found(family: socket.AddressFamily, host: str) -> None:
    port = free_port(host)
    with socket.socket(family, socket.SOCK_DGRAM) as other:
        other.bind((host, port))
        assert (host, port) in set(networkfacts.udp_sockets())
        assert port in networkfacts.ports([PORTS], [host], running=False).taken
        assert port not in networkfacts.ports([PORTS], ["192.0.2.1"], running=False).taken
        assert not networkfacts.ports([PORTS], [host], running=True).taken
    assert asdict(networkfacts.ports([], (), running=False))["taken"] == ()
