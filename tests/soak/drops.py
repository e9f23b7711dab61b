"""What the interfaces of the hosts have dropped: says where a lost packet went."""

from collections import Counter

from tests.lab.relay_testbed import RelayTestbed

_KINDS = ("rx_dropped", "tx_dropped", "rx_errors", "tx_errors")


def drops(testbed: RelayTestbed) -> Counter[str]:
    """Packets that each interface has dropped so far, by host, interface and kind."""
    found: Counter[str] = Counter()
    for name, host in testbed.hosts.items():
        with host.netlink() as netlink:
            for link in netlink.get_links():
                counted = link.get_attr("IFLA_STATS64")
                for kind in _KINDS:
                    found[f"{name} {link.get_attr('IFLA_IFNAME')} {kind}"] += counted[kind]
    return found
