"""A helper's server on a host of its own, and a client of it."""

import os
import resource
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest

from relay.dataplane import xdp
from relay.dataplane.kernel.config import LoadConfig
from relay.dataplane.kernel.privileged import AsRoot
from relay.netns.host import Host
from relay.run.config import RelayConfig
from relay.run.helper import process
from relay.run.helper.client import Helper
from relay.run.helper.server import Server
from tests.relay.run.test_config import config_of

UPSTREAM, VIP = "192.0.2.1", "203.0.113.10"


@contextmanager
def no_free_file() -> Iterator[None]:
    """This process has as many files open as it may."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.eventfd(0)  # the lowest number
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.fixture(scope="module")
def config(host: Host, new_config: Callable[..., LoadConfig]) -> Iterator[RelayConfig]:
    """Of a relay on a host where its addresses are."""
    with host.netlink() as netlink:
        for address in (UPSTREAM, VIP):
            netlink.addr("replace", index=1, address=address, prefixlen=32)
    instance = new_config("a", "b").instance
    yield config_of(
        interfaces=("a", "b"), instance=instance, max_flows=8, ports=range(20000, 20100)
    )
    xdp.unload(instance)


@pytest.fixture
def server(host: Host, config: RelayConfig) -> Iterator[Server]:
    """One whose program is loaded; this thread is on its host meanwhile."""
    with host.inside():
        server = Server(config, AsRoot(config.instance))
        # Again is quick, and what the test before has unloaded or changed is as it was.
        answer, _ = server.answer({"do": "load", "route_keys": [], "remote": [], "pass_all": False})
        assert answer.get("value"), answer
        yield server


@pytest.fixture
def helper(host: Host, config: RelayConfig, server: Server) -> Iterator[Helper]:
    """A client of it, which it serves in a thread."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def serve() -> None:
        with host.inside(), theirs:
            server.serve(theirs)

    thread = threading.Thread(target=serve)
    thread.start()
    with closing(Helper(ours, config.instance)) as helper:
        yield helper
    thread.join(10)
    assert not thread.is_alive()


@pytest.fixture
def beside(config: RelayConfig, server: Server) -> Iterator[Helper]:  # noqa: ARG001  # it has loaded
    """One in a process of its own, on the host where `server` has loaded the program."""
    with closing(process.start(config)) as helper:
        yield helper
