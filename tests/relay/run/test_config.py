"""What follows from a relay's settings: for the program, for workers, for the session table."""

import socket
from pathlib import Path
from typing import Any

import pytest

from relay.config.conflict import ConflictError
from relay.config.registry import Registry, Relay, Transceiver
from relay.dataplane.interface import DataplaneChoice
from relay.dataplane.kernel.config import Mode, UpstreamRange
from relay.run.config import RelayConfig
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.route import Target


def config_of(**changes: Any) -> RelayConfig:
    settings: dict[str, Any] = {
        "vips": (Endpoint("203.0.113.10", 3478),),
        "upstreams": ("192.0.2.1",),
        "keys": Path("keys.toml"),
        "registry": Path("registry.toml"),
    }
    return RelayConfig(**settings | changes)


def test_settings_that_do_not_go_together_are_refused_all_at_once() -> None:
    with pytest.raises(ConflictError) as caught:
        config_of(vips=(Endpoint("192.0.2.1", 20_000),), dataplane=DataplaneChoice.XDP, workers=2)
    assert [each.text.split(" ")[0] for each in caught.value.conflicts] == ["the", "several", "the"]


def test_what_clients_are_told_is_up_to_the_registry_too() -> None:
    public = Endpoint("198.51.100.7", 3478)
    (vip,) = config_of().vips
    registry = Registry((), (Relay(vip, (public,)),))
    assert config_of().advertised(Registry(())) == (vip,)
    assert config_of().advertised(registry) == (public,)
    assert config_of(advertise=(public,)).advertised(registry) == (public,)
    with pytest.raises(ConflictError, match=f"the registry tells clients {public}"):
        config_of(advertise=(vip,)).advertised(registry)


def test_an_advertised_address_must_fit_the_vips() -> None:
    with pytest.raises(ConflictError, match="no VIP is IPv6"):
        config_of(advertise=(Endpoint("2001:db8::7", 3478),))


class TestForTheProgram:
    KEYS = KeyRing({0: bytes(range(32)), 3: bytes(32)}, signing_slot=3)
    REGISTRY = Registry(
        tuple(Transceiver(Target(cluster, 1, 1), Endpoint("192.0.2.2", 5000)) for cluster in (1, 7))
    )

    def test_settings_hold_the_key_of_every_cluster_and_slot(self) -> None:
        config = config_of(upstreams=("192.0.2.1", "2001:db8::1"), ports=range(20_000, 21_000))
        settings = config.settings(self.KEYS, self.REGISTRY)
        assert settings.vips == config.vips
        assert settings.upstreams == (
            UpstreamRange("192.0.2.1", 20_000, 20_999),
            UpstreamRange("2001:db8::1", 20_000, 20_999),
        )
        assert settings.route_keys == {
            (cluster, slot): self.KEYS.route_key(cluster, slot)
            for cluster in (1, 7)
            for slot in (0, 3)
        }

    def test_load_config_carries_the_rest(self) -> None:
        config = config_of(
            interfaces=("eth0",),
            dataplane=DataplaneChoice.XDP,
            mode=Mode.NATIVE,
            instance="blue",
            max_flows=10,
        )
        load = config.load_config(self.KEYS, self.REGISTRY)
        assert (load.instance, load.interfaces) == ("blue", ("eth0",))
        assert (load.mode, load.max_flows) == (Mode.NATIVE, 10)
        assert load.settings == config.settings(self.KEYS, self.REGISTRY)

    def test_limits_follow_the_settings(self) -> None:
        limits = config_of(idle=150, max_flows=10).limits
        assert (limits.idle, limits.flows) == (150, 10)
        assert limits.store_every < 150  # or a mirrored record would end before it is written again


def test_upstream_addresses_are_grouped_by_family() -> None:
    config = config_of(upstreams=("192.0.2.1", "2001:db8:2::1", "192.0.2.9"))
    assert config.upstreams_by_family == {
        socket.AF_INET: ["192.0.2.1", "192.0.2.9"],
        socket.AF_INET6: ["2001:db8:2::1"],
    }


def test_workers_divide_ports_and_room_among_them() -> None:
    whole = config_of(
        dataplane=DataplaneChoice.USERSPACE,
        workers=3,
        ports=range(20_000, 20_010),
        max_flows=10,
        admin=Path("/run/a.sock"),
    )
    shares = [whole.worker(index) for index in range(3)]
    assert sorted(port for share in shares for port in share.ports) == list(whole.ports)
    assert [share.max_flows for share in shares] == [4, 4, 4]
    assert len({share.admin_path for share in shares} | {whole.admin_path}) == 4
    assert all(share.workers == 1 for share in shares)
