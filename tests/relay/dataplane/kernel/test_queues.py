"""Receive queues of real interfaces."""

import os
import subprocess
from collections.abc import Iterator

import pytest

from relay.dataplane.kernel.queues import receive_queues, receiving_processors
from relay.netns.host import Host


@pytest.fixture
def queues_host() -> Iterator[Host]:
    """A host with an interface of three receive queues, and one of one."""
    host = Host(f"queues-{os.getpid()}", "relay")
    host.create()
    try:
        for name, count in (("three", 3), ("one", 1)):
            add = ["ip", "link", "add", name, "numrxqueues", str(count), "numtxqueues", str(count)]
            line = host.command([*add, "type", "veth", "peer", f"{name}-peer"])
            subprocess.run(line, check=True, timeout=20)
        yield host
    finally:
        host.remove()


@pytest.mark.netns
def test_queues_are_counted_and_processors_bound_them(queues_host: Host) -> None:
    with queues_host.inside():
        assert (receive_queues("three"), receive_queues("one")) == (3, 1)
        assert receiving_processors(["one", "three"]) == min(3, os.cpu_count() or 1)
        assert receiving_processors(["one"]) == 1
        assert receiving_processors([]) == 1


def test_an_interface_that_does_not_say_has_one() -> None:
    assert receive_queues("lo") == receive_queues("none-such") == 1
