"""What takes privileges, by root itself: where an instance is, and whether it is there."""

import pytest

from relay.dataplane import xdp
from relay.dataplane.kernel.config import LoadConfig
from relay.dataplane.kernel.pins import Pins
from relay.dataplane.kernel.privileged import AsRoot
from relay.errors import DataplaneError
from relay.netns.host import Host
from tests.relay.dataplane.conftest import new_host

pytestmark = [pytest.mark.netns, pytest.mark.bpf]


def test_a_table_is_known_where_its_instance_belongs(host: Host, running: LoadConfig) -> None:
    kernel = AsRoot(running.instance)
    with host.inside():
        kernel.require_not_elsewhere()
        number = kernel.table()
        assert number is not None
        assert kernel.table() == number
    with new_host() as other, other.inside():
        assert kernel.table() is None
        with pytest.raises(DataplaneError, match="--instance"):
            kernel.require_not_elsewhere()
    assert kernel.has("counters")
    xdp.unload(running.instance)
    with host.inside():
        assert kernel.table() is None
        assert not kernel.has("counters")
        assert not kernel.is_loaded()


def test_links_run_what_forwards_or_what_passes_all_up(host: Host, running: LoadConfig) -> None:
    kernel, pins = AsRoot(running.instance), Pins(running.instance)
    with host.inside():
        for on in (False, True):
            kernel.forward(on=on)
            assert pins.running(on=on).exists()
            assert kernel.follow_interfaces(on=on, mode=running.mode) == []
        assert kernel.refusing(kernel.linked()) == []
        assert kernel.trouble() is None
