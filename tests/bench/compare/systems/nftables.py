"""nftables: the kernel's own address translation, as one puts a port in front of a server."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from relay.netns.host import Host
from tests.bench.compare.systems.opening import NO_UFRAG, open_flows
from tests.bench.compare.systems.routing import forwarding
from tests.bench.compare.testbed.system import RunningSystem
from tests.bench.compare.testbed.testbed import Testbed
from tests.lab.errors import LabError
from tests.lab.topology import INTERNAL, PUBLIC, RELAY

# Else a flow may end between two benchmarks, and with it its port towards the transceiver.
_IDLE_SECONDS = 3600


class Nftables:
    """DNAT to the transceiver, masquerade towards it.

    Args:
        flowtable: Whether packets of known flows take the kernel's short cut.
    """

    max_flows = 50_000  # as many as one address has ports

    def __init__(self, *, flowtable: bool) -> None:
        self.name = "nftables flowtable" if flowtable else "nftables"
        self._flowtable = flowtable

    def missing(self) -> str | None:
        """Why it cannot take part on this machine."""
        if shutil.which("nft") is None:
            return "nft is not installed: apt-get install nftables"
        if self._flowtable and not _kernel_takes(f"table ip icelane_bench {{{_flowtable('lo')}}}"):
            return "this kernel has no flow tables: it needs CONFIG_NF_FLOW_TABLE"
        return None

    @contextmanager
    def running(self, testbed: Testbed, flows: int) -> Iterator[RunningSystem]:
        """Make the rules, and open flows through them; they go with the host.

        Raises:
            LabError: The kernel refuses the rules, or flows do not open.
        """
        relay = testbed.hosts[RELAY]
        with forwarding(testbed):
            _nft(relay, rules(testbed, flowtable=self._flowtable))
            try:
                for name in ("nf_conntrack_udp_timeout", "nf_conntrack_udp_timeout_stream"):
                    relay.sysctl(f"netfilter/{name}", _IDLE_SECONDS)
                opened = open_flows(testbed, testbed.vip, lambda: NO_UFRAG, flows)
                yield RunningSystem(opened, new_ufrag=lambda: NO_UFRAG)
            finally:
                _nft(relay, "delete table ip icelane_bench\n")


def rules(testbed: Testbed, *, flowtable: bool) -> str:
    """The rules, as nft reads them."""
    vip, transceiver = testbed.vip, testbed.transceiver
    return f"""\
table ip icelane_bench {{
	chain arriving {{
		type nat hook prerouting priority dstnat
		ip daddr {vip.host} udp dport {vip.port} dnat to {transceiver.host}:{transceiver.port}
	}}
	chain leaving {{
		type nat hook postrouting priority srcnat
		oifname {INTERNAL} ip daddr {transceiver.host} masquerade
	}}
{_flowtable(PUBLIC, INTERNAL) if flowtable else ""}}}
"""


def _flowtable(*devices: str) -> str:
    """Rules that have packets of known flows take the short cut between interfaces."""
    return f"""
	flowtable fast {{
		hook ingress priority 0
		devices = {{ {", ".join(devices)} }}
	}}
	chain forward {{
		type filter hook forward priority 0
		meta l4proto udp flow add @fast
	}}
"""


def _kernel_takes(text: str) -> bool:
    """Whether rules would be accepted; nothing changes."""
    line = ["nft", "--check", "--file", "-"]
    return (
        subprocess.run(line, check=False, input=text, capture_output=True, text=True).returncode
        == 0
    )


def _nft(host: Host, text: str) -> None:
    line = host.command(["nft", "--file", "-"])
    done = subprocess.run(line, check=False, input=text, capture_output=True, text=True)
    if done.returncode != 0:
        raise LabError(f"nft refuses its rules: {done.stderr.strip()}")
