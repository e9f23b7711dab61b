"""A whole host and a relay's settings are looked at, each with one thing really broken."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from relay.cli.tree import TREE
from relay.doctor.examine import examine
from relay.doctor.finding import Finding, Verdict
from relay.doctor.settings import DoctorSettings
from relay.netns.host import Host
from relay.wire.keys import KeyRing
from tests.relay.conftest import RedisServer
from tests.relay.dataplane.conftest import new_host
from tests.relay.dataplane.kernel.test_ingressesabove import add_macvlan

pytestmark = pytest.mark.netns

OK, WARN, FAIL, UNKNOWN = Verdict
VIP, UPSTREAM = "203.0.113.10", "192.0.2.1"
REGISTRY = '[[transceiver]]\ncluster = 1\nslot = 1\ngeneration = 1\naddress = "192.0.2.1:5000"\n'
Look = Callable[..., dict[str, Finding]]


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    """A host with the relay's addresses."""
    with new_host() as host:
        with host.netlink() as netlink:
            for name, address in (("a", VIP), ("b", UPSTREAM)):
                (index,) = netlink.link_lookup(ifname=name)
                netlink.addr("add", index=index, address=address, prefixlen=24)
        yield host


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "keys.toml").write_text(KeyRing({0: bytes(32)}, 0).dumps())
    (tmp_path / "keys.toml").chmod(0o600)
    (tmp_path / "registry.toml").write_text(REGISTRY)
    (tmp_path / "registry.toml").chmod(0o644)
    return tmp_path


@pytest.fixture
def look(host: Host, files: Path) -> Look:
    """Looks at the host and a relay; options may be others than usual, or None."""

    def run(**options: Any) -> dict[str, Finding]:
        usual = {
            "vip": [f"{VIP}:3478"],
            "upstream": [UPSTREAM],
            "keys": str(files / "keys.toml"),
            "registry": str(files / "registry.toml"),
            "interface": ["a", "b"],
            "instance": f"test-{os.getpid()}",
        }
        settings = DoctorSettings.load(usual | options, tree=TREE)
        with host.inside():
            found = examine(settings)
        return {each.name: each for each in found}

    return run


def run(host: Host, line: str) -> None:
    subprocess.run(host.command(line.split()), check=True)


def test_a_host_alone(host: Host) -> None:
    settings = DoctorSettings.load({}, tree=TREE)
    with host.inside():
        found = {each.name: each for each in examine(settings)}
    assert "host alone" in found["settings"].says
    assert {"kernel", "bpffs", "a xdp", "xfrm", "ports", "clock"} <= set(found)
    assert not any(each.startswith(("vip", "transceiver", "redis")) for each in found)


def test_a_relay_whose_transceiver_is_gone(look: Look) -> None:
    found = look()
    gone = found.pop("transceiver 192.0.2.1:5000")
    assert (gone.verdict, gone.says) == (FAIL, "its media address refuses: Connection refused")
    assert [each for each in found.values() if each.verdict is FAIL] == []
    assert found[f"vip {VIP}:3478"].verdict is OK
    assert found["settings"].says == "they go together"
    assert found["from outside"].verdict is UNKNOWN


def test_a_key_file_that_others_can_read(look: Look, files: Path) -> None:
    (files / "keys.toml").chmod(0o644)
    assert look()["keys"].fix == f"chmod 600 {files}/keys.toml"


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("keys.toml", "signing = 3\n[keys]\n", "signing key slot 3 holds no key"),
        ("registry.toml", REGISTRY.replace("cluster", "custer"), "cluster must be a number"),
    ],
)
def test_a_file_that_cannot_be_used(
    look: Look, files: Path, file: str, text: str, said: str
) -> None:
    (files / file).write_text(text)
    found = look()[file.partition(".")[0]]
    assert found.verdict is FAIL
    assert said in f"{found.says}: {found.fix}"


def test_a_file_that_is_not_there(look: Look, files: Path) -> None:
    (files / "keys.toml").unlink()
    found = look()
    assert found["keys"].verdict is FAIL
    assert "No such file" in found["keys"].says


def test_settings_that_do_not_go_together(look: Look) -> None:
    found = look(ports="3000-4000", vip=[f"{UPSTREAM}:3478"])
    assert found["settings"].verdict is FAIL
    assert "--ports" in found["settings"].fix


def test_settings_of_which_some_are_missing(look: Look) -> None:
    found = look(upstream=None, registry=None)
    assert "--upstream, --registry or --redis not given" in found["settings"].says
    assert found[f"vip {VIP}:3478"].verdict is OK
    assert found["keys"].verdict is OK


def test_an_address_that_is_not_here_and_an_interface_that_is_not(look: Look) -> None:
    found = look(vip=["203.0.113.99:3478"], interface=["a", "nosuch"], dataplane="xdp")
    assert found["vip 203.0.113.99:3478"].verdict is FAIL
    assert found["nosuch link"].verdict is FAIL


def test_in_userspace_nothing_is_said_of_the_kernel_path(look: Look) -> None:
    found = look(dataplane="userspace")
    assert found["kernel path"].verdict is OK
    assert not {"bpffs", "a xdp", "xfrm"} & set(found)


def test_redis_with_another_password(look: Look, redis_server: RedisServer) -> None:
    redis_server.client().config_set("requirepass", "secret")
    found = look(redis=redis_server.url)
    assert found["redis"].verdict is FAIL
    assert "Authentication" in found["redis"].says


def test_a_registry_without_transceivers(look: Look, redis_server: RedisServer) -> None:
    found = look(redis=redis_server.url, registry=None)
    assert found["redis"].verdict is OK
    assert found["transceivers"].verdict is WARN


def test_what_the_kernel_path_passes_by(look: Look, host: Host) -> None:
    run(host, "ip rule add fwmark 0x10 lookup 5 pref 77")
    try:
        found = look()
        assert found["policy routing"].verdict is WARN
        assert "ip rule 77 (fwmark 0x10)" in found["policy routing"].says
    finally:
        run(host, "ip rule del pref 77")


@pytest.mark.kinds
def test_a_vip_above_a_named_interface_with_a_mac_address_of_its_own(
    look: Look, host: Host
) -> None:
    with host.netlink() as netlink:
        (below,) = netlink.link_lookup(ifname="a")
        add_macvlan(netlink, "vrrp.51", below)
        (index,) = netlink.link_lookup(ifname="vrrp.51")
        netlink.addr("add", index=index, address="203.0.113.51", prefixlen=32)
    try:
        found = look(vip=["203.0.113.51:3478"])
        assert found["a mac"].verdict is WARN
        assert found["a mac"].fix.startswith("Give 203.0.113.51 to a (keepalived does without use_")
        assert "a mac" not in look()
    finally:
        run(host, "ip link del vrrp.51")
