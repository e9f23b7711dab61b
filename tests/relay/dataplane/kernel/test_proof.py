"""Whether a driver takes what is sent to it, asked of real veths."""

import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from pyroute2 import IPRoute

from relay.dataplane import xdp
from relay.dataplane.kernel import proof
from relay.dataplane.kernel.config import LoadConfig, Mode
from relay.dataplane.kernel.ingresses import slot_of
from relay.dataplane.kernel.losses import TRACEPOINTS, WAYS_OUT
from relay.dataplane.kernel.pins import Pins
from relay.netns.host import Host
from relay.netns.offload import Offload, set_offload
from tests.lab.overload import Redirecting, Tap, slow_way_out
from tests.relay.dataplane.loading import NewConfig, load

pytestmark = pytest.mark.bpf


@pytest.fixture
def config(host: Host, new_config: NewConfig) -> Iterator[LoadConfig]:
    """Of an instance that is loaded natively on a and b."""
    config = new_config("a", "b", mode=Mode.NATIVE)
    load(host, config)
    yield config
    xdp.unload(config.instance)


@contextmanager
def without_gro(host: Host, interface: str) -> Iterator[None]:
    with host.inside():
        set_offload(interface, Offload.GRO, on=False)
    try:
        yield
    finally:
        with host.inside():
            set_offload(interface, Offload.GRO, on=True)


def set_state(netlink: IPRoute, interface: str, state: str) -> None:
    netlink.link("set", index=netlink.link_lookup(ifname=interface)[0], state=state)


def refusing(host: Host, config: LoadConfig) -> list[str]:
    pins = Pins(config.instance)
    with host.inside():
        return proof.find_refusing(pins, proof.askable(pins))


def test_those_whose_other_ends_take_nothing_are_found(host: Host, config: LoadConfig) -> None:
    assert refusing(host, config) == []
    with without_gro(host, "b-far"):
        assert refusing(host, config) == ["b"]
    assert refusing(host, config) == []


@pytest.fixture
def slow(host: Host) -> Iterator[Tap]:
    """An interface of the host whose packets leave as slowly as a test wants."""
    with slow_way_out(host, "slow") as tap:
        yield tap


@pytest.fixture
def congested(host: Host, slow: Tap, new_config: NewConfig) -> Iterator[LoadConfig]:
    """Of an instance that is loaded natively on a and the slow interface."""
    config = new_config("a", slow.name, mode=Mode.NATIVE)
    load(host, config)
    yield config
    xdp.unload(config.instance)


def test_a_way_out_that_is_overloaded_refuses_nothing(
    host: Host, slow: Tap, congested: LoadConfig
) -> None:
    """All frames of ours are lost there, too, and no other way out is to blame."""
    pins = Pins(congested.instance)
    with host.inside():
        asked = proof.askable(pins)
        with closing(Redirecting(asked["a"], asked[slow.name])) as frames:
            frames.send(1000)
            assert proof.find_refusing(pins, asked) == []
    assert xdp.status(congested.instance).counters["transmit_dropped"] > 900


def test_nobody_is_judged_by_what_others_lose_meanwhile(
    host: Host, slow: Tap, congested: LoadConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    pins, send = Pins(congested.instance), proof._send
    with host.inside():
        asked = proof.askable(pins)
        with closing(Redirecting(asked["a"], asked[slow.name])) as frames:
            frames.send(1000)  # more than there is room for

            def send_both(*args: int) -> None:
                send(*args)
                frames.send(1)

            monkeypatch.setattr(proof, "_send", send_both)
            assert proof.find_refusing(pins, {"a": asked["a"]}) == []


def test_who_takes_frames_of_others_refuses_nothing(
    host: Host, config: LoadConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have a queue for each processor but the one that ours are sent on."""
    pins, send = Pins(config.instance), proof._send
    with host.inside(), without_gro(host, "b-far"):
        index = proof.askable(pins)["b"]
        with pins.opened("ingresses") as ingresses, pins.opened(WAYS_OUT) as ways:
            key = ways.key.number(slot_of(ingresses, index) or 0)

            def send_and_take(*args: int) -> None:
                send(*args)
                value = bytearray(ways.lookup(key) or b"")
                span = ways.value.spans["taken"]
                value[span] = (int.from_bytes(value[span], sys.byteorder) + 1).to_bytes(
                    8, sys.byteorder
                )
                ways.update(key, bytes(value))

            monkeypatch.setattr(proof, "_send", send_and_take)
            assert proof.find_refusing(pins, {"b": index}) == []
            monkeypatch.undo()
            assert proof.find_refusing(pins, {"b": index}) == ["b"]


def test_a_device_that_is_down_refuses_nothing(host: Host, config: LoadConfig) -> None:
    """It may go down, or start anew, after its link was looked at."""
    pins = Pins(config.instance)
    with host.inside(), host.netlink() as netlink:
        asked = proof.askable(pins)
        set_state(netlink, "b", "down")
        try:
            assert proof.find_refusing(pins, asked) == []
        finally:
            set_state(netlink, "b", "up")


def test_nobody_is_judged_by_a_link_that_is_down(host: Host, config: LoadConfig) -> None:
    pins = Pins(config.instance)
    with host.netlink() as netlink:
        set_state(netlink, "b-far", "down")
        try:
            assert list(proof.askable(pins)) == ["a"]
        finally:
            set_state(netlink, "b-far", "up")
        assert list(proof.askable(pins)) == ["a", "b"]


def test_nobody_is_judged_where_losses_are_not_counted(host: Host, config: LoadConfig) -> None:
    pins = Pins(config.instance)
    with without_gro(host, "b-far"):
        for name in TRACEPOINTS.values():
            pins.tracepoint(name).unlink()
        assert refusing(host, config) == []


def test_what_is_sent_tells_nobody_anything(host: Host, config: LoadConfig) -> None:
    """It is no packet of a protocol that anybody has, and is not forwarded by bridges."""
    before = xdp.status(config.instance).counters
    refusing(host, config)
    with without_gro(host, "b-far"):
        assert refusing(host, config) == ["b"]
    after = xdp.status(config.instance).counters
    assert after == before  # what is lost of ours is no loss of the relay's
