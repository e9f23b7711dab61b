"""Whether drivers have native XDP, by the kernel's word."""

import socket

import pytest

from relay.dataplane.kernel import xdpfeatures
from relay.netns.host import Host

pytestmark = pytest.mark.netns


def test_drivers_that_redirect_are_known(host: Host) -> None:
    with host.inside():
        try:
            found = xdpfeatures.redirecting()
        except OSError:
            pytest.skip("this kernel does not tell (before 6.3)")
        assert found[socket.if_nametoindex("a")]
        assert not found.get(socket.if_nametoindex("lo"))
