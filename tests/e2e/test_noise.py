"""What strangers send leaves nothing behind: no flow, no flood in the log, no harm to a call."""

import random
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from relay.config.keyfile import load_keys
from relay.wire.keys import KeyRing
from relay.wire.route import Target, mint
from relay.wire.stun import BINDING, Attribute, Message, MessageClass
from tests.lab.call import Call
from tests.lab.config import CLIENT_ADDRESS, RELAY_SERVICE, VIP, Options
from tests.lab.lab import Lab
from tests.lab.topology import CLIENT

pytestmark = pytest.mark.e2e

WAIT = 5.0  # seconds; a limit
LINES = 5  # of log that 1000 bad datagrams may cause
SEED = 20260504

Status = Callable[[Lab], dict[str, Any]]


@pytest.fixture(scope="module", params=[pytest.param("xdp", marks=pytest.mark.bpf), "userspace"])
def lab(
    request: pytest.FixtureRequest, bring_up: Callable[[Options], Lab], unprivileged_user: str
) -> Lab:
    user = unprivileged_user if request.param == "userspace" else None
    return bring_up(Options(dataplane=request.param, relay_user=user))


def _client_socket(lab: Lab) -> socket.socket:
    with lab.host(CLIENT).inside():
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((CLIENT_ADDRESS, 0))
    return made


@pytest.fixture
def stranger(lab: Lab) -> Iterator[socket.socket]:
    """A socket in the client's host that the relay knows nothing of."""
    with closing(_client_socket(lab)) as made:
        yield made


@pytest.fixture
def quiet(lab: Lab, status_of: Status) -> Iterator[None]:
    """After the test: no new flow, and hardly a line of log."""
    clients, lines = _clients(status_of(lab)), len(lab.log(RELAY_SERVICE))
    yield
    with closing(_client_socket(lab)) as fence:
        own = _pend(lab, fence, status_of)  # so all that was sent before it has been handled
        assert _clients(status_of(lab)) - clients == {own}
    assert len(lab.log(RELAY_SERVICE)) - lines <= LINES


@pytest.mark.usefixtures("quiet")
def test_a_check_with_a_forged_route(stranger: socket.socket) -> None:
    others = KeyRing.generate(random.Random(SEED).randbytes)
    stranger.sendto(binding_request(others), VIP)


@pytest.mark.usefixtures("quiet")
def test_dtls_from_an_unknown_source(stranger: socket.socket) -> None:
    hello = b"\x01" + bytes(11) + b"\xfe\xfd" + bytes(42)
    stranger.sendto(struct.pack("!BHHIHH", 22, 0xFEFF, 0, 0, 0, len(hello)) + hello, VIP)


@pytest.mark.usefixtures("quiet")
def test_random_datagrams(stranger: socket.socket) -> None:
    chance = random.Random(SEED)
    for _ in range(1000):
        stranger.sendto(chance.randbytes(chance.randrange(1400)), VIP)


def test_a_check_with_a_valid_route_makes_a_flow(
    lab: Lab, stranger: socket.socket, status_of: Status
) -> None:
    """The tests above could not fail if a check of this making were always refused."""
    client = _pend(lab, stranger, status_of)
    (flow,) = (each for each in status_of(lab)["flows"] if each["client"] == client)
    assert flow["state"] == "pending"


def test_a_call_after_all_that(lab: Lab) -> None:
    with Call(lab, 2.0) as call:
        report = call.report()
    assert report["ok"], report["error"]
    assert (report["lost_to_server"], report["lost_to_client"]) == (0, 0)


def _pend(lab: Lab, sender: socket.socket, status_of: Status) -> str:
    """Make a pending flow with a check that has a valid route; returns its client."""
    client = f"{CLIENT_ADDRESS}:{sender.getsockname()[1]}"
    sender.sendto(binding_request(load_keys(lab.directory / "keys.toml")), VIP)
    deadline = time.monotonic() + WAIT
    while client not in _clients(status_of(lab)):
        assert time.monotonic() < deadline, "the check made no flow"
        time.sleep(0.02)
    return client


def _clients(status: dict[str, Any]) -> set[str]:
    return {flow["client"] for flow in status["flows"]}


def binding_request(keys: KeyRing) -> bytes:
    route = mint(Target(1, 1, 1), keys, now=time.time(), lifetime=600, nonce=b"once")
    username = f"{route.ufrag}:peer".encode()
    attributes = ((int(Attribute.USERNAME), username),)
    message = Message(MessageClass.REQUEST, BINDING, bytes(range(12)), attributes)
    return message.serialize(password=b"unknown to us")
