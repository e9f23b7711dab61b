"""Forwarding on the loopback interface: others switch it off unawares."""

from contextlib import closing

import pytest

from relay.dataplane import xdp
from relay.dataplane.kernel import loforwarding
from relay.netns.host import Host
from tests.relay.dataplane.loading import NewConfig, load

pytestmark = pytest.mark.bpf


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("ipv4/ip_forward", "net.ipv4.conf.lo.forwarding"),
        ("ipv4/conf/all/forwarding", "net.ipv4.conf.lo.forwarding"),
        ("ipv6/conf/all/forwarding", "net.ipv6.conf.lo.forwarding"),
    ],
)
def test_what_a_later_write_switches_off_an_agent_switches_on_again(
    host: Host, new_config: NewConfig, written: str, name: str
) -> None:
    config = new_config("a", "b")
    load(host, config)
    host.sysctl(written, 1)
    with host.inside(), closing(xdp.XdpDataplane(config.instance)) as dataplane:
        assert dataplane.reconcile() == []
        host.sysctl(written, 0)
        (said,) = dataplane.reconcile()
        assert f"{name} had been switched off" in said
        assert dataplane.reconcile() == []
        assert loforwarding.allow() == []
    xdp.unload(config.instance)
