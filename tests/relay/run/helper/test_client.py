"""An agent's side of its helper: maps by descriptor, and what is left when it has ended."""

import os
import socket
import subprocess
from collections.abc import Callable
from contextlib import closing

import pytest

from relay.dataplane import xdp
from relay.dataplane.kernel.config import Mode
from relay.dataplane.kernel.privileged import UNTOLD, AsRoot
from relay.dataplane.xdp import XdpDataplane
from relay.errors import DataplaneError
from relay.run.config import RelayConfig
from relay.run.helper import wire
from relay.run.helper.client import ENDED, Helper
from relay.run.helper.server import Server
from tests.relay.run.helper.conftest import no_free_file

pytestmark = [pytest.mark.netns, pytest.mark.bpf]


def test_a_dataplane_works_by_it(helper: Helper, config: RelayConfig) -> None:
    with closing(XdpDataplane(config.instance, kernel=helper)) as dataplane:
        assert dataplane.reconcile() == []
        assert not dataplane.is_orphaned()
        dataplane.deactivate()
        assert not dataplane.forwards
        dataplane.activate()
        assert set(dataplane.counters()) > {"forwarded_to_client", "redirect_failed"}
        assert [*dataplane.tuples()] == []
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.bind(("192.0.2.1", 0))
            dataplane.steer(udp)


def test_the_pin_tells_that_an_instance_was_unloaded_or_loaded_anew(
    helper: Helper, server: Server, config: RelayConfig
) -> None:
    first = helper.table()
    assert first == helper.table() is not None
    assert helper.has("counters")
    xdp.unload(config.instance)
    assert helper.table() is None
    assert not helper.has("counters")
    with pytest.raises(DataplaneError, match="is not loaded"):
        helper.opened("counters")
    server.answer({"do": "load", "route_keys": [], "remote": [], "pass_all": False})
    assert helper.table() not in {None, first}
    helper.opened("counters").close()


def test_a_moment_without_free_files_passes(beside: Helper) -> None:
    with no_free_file():
        for _ in range(2):
            with pytest.raises(DataplaneError, match="opened now: Too many open files"):
                beside.opened("counters")
            with pytest.raises(DataplaneError, match="counters cannot be opened now"):
                beside.has("counters")
            with pytest.raises(OSError, match="Too many open files"):
                beside.open_steer_sockets()
    assert beside.trouble() is None
    assert beside.has("counters")
    with no_free_file(), pytest.raises(DataplaneError, match="counters cannot be opened now"):
        beside.opened("counters")  # though it is held: the copy takes a file
    beside.opened("counters").close()


def test_another_table_is_told_from_none_without_a_free_file(
    beside: Helper, server: Server, config: RelayConfig
) -> None:
    first = beside.table()
    with no_free_file():
        assert beside.table() == first  # which is held
    xdp.unload(config.instance)
    with no_free_file():
        assert beside.table() is None
    server.answer({"do": "load", "route_keys": [], "remote": [], "pass_all": False})
    with no_free_file():
        assert beside.table() == beside.table() == UNTOLD
    assert beside.table() not in {None, UNTOLD, first}


def test_a_request_that_is_too_long_costs_itself_alone(helper: Helper) -> None:
    with pytest.raises(OSError, match="Message too long"):
        helper._ask("load", remote=list(range(1 << 16)))
    assert helper.trouble() is None
    assert helper.is_loaded()


def test_nothing_is_asked_for_what_is_open(helper: Helper, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten times a second the event loop asks whether the table is there, and may not wait."""
    helper.table()
    monkeypatch.setattr(helper, "_ask", None)
    assert helper.table() is not None
    assert helper.mend_forwarding() == []
    assert helper.refusing({}) == []


def test_maps_stay_usable_when_it_has_ended_and_that_is_told(
    helper: Helper, config: RelayConfig
) -> None:
    with closing(XdpDataplane(config.instance, kernel=helper)) as dataplane:
        dataplane.reconcile()
        helper.close()
        assert helper.trouble() == ENDED
        with pytest.raises(DataplaneError, match="helper has ended"):
            dataplane.deactivate()
        assert dataplane.forwards
        assert dataplane.reconcile() == [ENDED]
        assert dataplane.reconcile() == []
        assert dataplane.trouble == ENDED
        assert dataplane.count() == 0


def test_an_answer_that_is_too_long_costs_itself_alone(
    helper: Helper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AsRoot, "unseen", lambda _: ["x" * wire.MOST])
    with pytest.raises(OSError, match="Message too long"):
        helper.unseen()
    assert helper.is_loaded()


def test_an_answer_with_more_descriptors_than_belong_to_it_is_none(
    open_files: Callable[[], int],
) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    before = open_files()
    with closing(Helper(ours, "default")) as helper, theirs:
        wire.send(theirs, {"value": None}, [0, 0])
        with pytest.raises(DataplaneError, match="helper has ended"):
            helper.open_steer_sockets()
    assert open_files() == before - 2


@pytest.mark.parametrize("answer", [b"", b"no JSON", b'{"value": [1]}'])
def test_an_end_in_the_middle_of_an_answer_is_one(
    open_files: Callable[[], int], answer: bytes
) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    before = open_files()
    with closing(Helper(ours, "default")) as helper, theirs:
        assert helper.trouble() is None
        theirs.send(answer) if answer else theirs.shutdown(socket.SHUT_RDWR)
        with pytest.raises(DataplaneError, match="helper has ended"):
            helper.open_steer_sockets()
    assert open_files() == before - 2


def test_one_that_closes_before_it_is_gone_is_reaped_later() -> None:
    """So does each that ends: the kernel closes its descriptors first."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with (
        subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE) as child,
        closing(Helper(ours, "default", child.pid)) as helper,
    ):
        theirs.close()
        assert helper.trouble() == ENDED
        assert child.stdin is not None
        child.stdin.close()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert helper.trouble() == ENDED
        with pytest.raises(ChildProcessError):
            os.waitpid(child.pid, 0)


def test_it_leaves_no_descriptor(
    helper: Helper, config: RelayConfig, open_files: Callable[[], int]
) -> None:
    before = open_files()
    with closing(XdpDataplane(config.instance, kernel=helper)) as dataplane:
        dataplane.reconcile()
    held = open_files()
    with closing(XdpDataplane(config.instance, kernel=helper)) as dataplane:
        dataplane.reconcile()
    assert open_files() == held
    helper.close()
    assert open_files() <= before


def test_an_interface_in_another_mode_is_none_of_its_business(helper: Helper) -> None:
    assert helper.follow_interfaces(on=True, mode=Mode.GENERIC) == []
