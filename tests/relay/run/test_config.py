"""What follows from a relay's settings: for the program, for workers, for the session table."""

import math
import socket
from pathlib import Path
from typing import Any

import pytest

from relay.config.conflict import ConflictError
from relay.config.registry import Registry, Relay, RemoteCluster, Transceiver
from relay.dataplane.interface import DataplaneChoice
from relay.dataplane.kernel.config import Mode, UpstreamRange
from relay.run.config import RelayConfig
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.route import Target
from relay.wire.transport import Transport


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
        assert settings.remote == frozenset()

    def test_settings_name_clusters_elsewhere_of_which_there_is_no_key(self) -> None:
        elsewhere = Registry((), remote=(RemoteCluster(9, (Endpoint("203.0.113.7", 3478),)),))
        settings = config_of().settings(self.KEYS, elsewhere)
        assert settings.remote == {9}
        assert settings.route_keys == {}

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
        limits = config_of(idle=150, max_flows=10, redis="redis://x").limits
        assert (limits.idle, limits.flows) == (150, 10)
        assert config_of().limits.store_every == math.inf  # nobody has a mirror
        assert limits.store_every < 150  # or a mirrored record would end before it is written again


VIP = Endpoint("203.0.113.10", 3478)


def test_clients_over_tcp_have_upstream_ports_of_their_own_if_there_are_any() -> None:
    assert config_of().ports_by_transport == {Transport.UDP: range(10_000, 30_000)}
    config = config_of(tcp=(VIP,), tcp_ports=range(31_000, 31_010))
    assert config.ports_by_transport[Transport.TCP] == range(31_000, 31_010)
    # The kernel's program would let few of their packets through to the agent.
    keys, registry = TestForTheProgram.KEYS, TestForTheProgram.REGISTRY
    assert config.settings(keys, registry) == config_of().settings(keys, registry)


def test_their_ports_matter_only_if_there_are_any() -> None:
    config_of(ports=range(20_000, 40_000))
    with pytest.raises(ConflictError, match="overlap"):
        config_of(tcp=(VIP,), ports=range(20_000, 40_000))
    config_of(vips=(Endpoint("192.0.2.1", 31_000),))
    with pytest.raises(ConflictError, match="lies among the upstream ports 30000-32767"):
        config_of(vips=(Endpoint("192.0.2.1", 31_000),), tcp=(VIP,))


def test_one_network_has_a_quarter_of_all_connections() -> None:
    assert config_of(max_connections=100).connection_limits.connections == 100
    assert config_of(max_connections=100).connection_limits.per_prefix == 25
    assert config_of(max_connections=1).connection_limits.per_prefix == 1


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
        tcp=(VIP,),
        tcp_ports=range(31_000, 31_010),
        max_connections=10,
    )
    shares = [whole.worker(index) for index in range(3)]
    assert sorted(port for share in shares for port in share.ports) == list(whole.ports)
    assert [share.max_flows for share in shares] == [4, 4, 4]
    assert sorted(port for share in shares for port in share.tcp_ports) == list(whole.tcp_ports)
    assert [share.max_connections for share in shares] == [4, 4, 4]
    assert [share.tcp for share in shares] == [whole.tcp] * 3  # the kernel shares them out
    assert len({share.admin_path for share in shares} | {whole.admin_path}) == 4
    assert all(share.workers == 1 for share in shares)


def test_rates_are_the_programs_and_the_tables_and_workers_divide_what_is_of_all() -> None:
    userspace = DataplaneChoice.USERSPACE
    whole = config_of(setup_rate=9000, setup_rate_per_prefix=300, workers=3, dataplane=userspace)
    rates = whole.rates
    assert (rates.stun_routed.rate, rates.prefix.rate) == (9000, 300)
    assert whole.settings(KeyRing({0: bytes(32)}, 0), Registry(())).rates == rates
    share = whole.worker(1).rates
    assert (share.stun_routed.rate, share.prefix, share.ufrag) == (3000, rates.prefix, rates.ufrag)
    assert config_of(redis="redis://r").rates.unknown_client.rate > rates.unknown_client.rate


def test_there_is_room_for_as_many_flows_as_there_are_upstream_ports() -> None:
    hosts = ("192.0.2.1", "2001:db8:2::1")
    config = config_of(upstreams=hosts, ports=range(20_000, 20_010))
    assert config.limits.flows == 20
    with pytest.raises(ConflictError, match="20 upstream ports have no room for 21 flows"):
        config_of(upstreams=hosts, ports=range(20_000, 20_010), max_flows=21)


def test_no_worker_has_room_for_more_flows_than_its_ports() -> None:
    whole = config_of(
        dataplane=DataplaneChoice.USERSPACE, workers=3, ports=range(20_000, 20_010), max_flows=10
    )
    assert [whole.worker(index).max_flows for index in range(3)] == [4, 3, 3]
