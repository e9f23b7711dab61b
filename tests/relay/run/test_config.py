import os
import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.dataplane.interface import DataplaneChoice
from relay.dataplane.kernel.config import Mode, UpstreamRange
from relay.errors import ConfigError
from relay.registry import Registry, Transceiver
from relay.run.config import RelayConfig, parse_ports
from relay.wire.endpoint import Endpoint
from relay.wire.keys import KeyRing
from relay.wire.route import Target

LEAST = {
    "vip": ["203.0.113.10:3478"],
    "upstream": ["192.0.2.1"],
    "keys": "keys.toml",
    "registry": "registry.toml",
}
EVERYTHING = """
vip = ["203.0.113.10:3478", "[2001:db8::10]:3478"]
upstream = ["192.0.2.1", "2001:DB8:0::1"]
ports = "20000-29999"
keys = "/etc/icelane/keys.toml"
registry = "/etc/icelane/registry.toml"
dataplane = "xdp"
interface = ["eth0", "eth1"]
mode = "generic"
redis = "rediss://user:password@redis.example.org:6380/1"
instance = "blue"
admin = "/run/icelane/blue.sock"
metrics = "127.0.0.1:9100"
max-flows = 1000
idle = 120
workers = 1
"""


def config_of(**changes: Any) -> RelayConfig:
    return RelayConfig.of(LEAST | changes)


def test_a_file_with_everything(tmp_path: Path) -> None:
    path = tmp_path / "relay.toml"
    path.write_text(EVERYTHING)
    assert RelayConfig.load(path, {}) == RelayConfig(
        vips=(Endpoint("203.0.113.10", 3478), Endpoint("2001:db8::10", 3478)),
        upstreams=("192.0.2.1", "2001:db8::1"),
        ports=range(20_000, 30_000),
        keys=Path("/etc/icelane/keys.toml"),
        registry=Path("/etc/icelane/registry.toml"),
        dataplane=DataplaneChoice.XDP,
        interfaces=("eth0", "eth1"),
        mode=Mode.GENERIC,
        redis="rediss://user:password@redis.example.org:6380/1",
        instance="blue",
        admin=Path("/run/icelane/blue.sock"),
        metrics=Endpoint("127.0.0.1", 9100),
        max_flows=1000,
        idle=120,
    )


def test_the_least_that_is_needed_and_defaults_for_the_rest() -> None:
    config = config_of()
    assert config.dataplane is DataplaneChoice.AUTO
    # Below the ephemeral range, or another socket would be given a flow's port.
    assert config.ports.stop <= 32_768
    assert config.idle >= 120
    assert (config.redis, config.metrics, config.admin) == (None, None, None)


def test_options_replace_what_the_file_says(tmp_path: Path) -> None:
    path = tmp_path / "relay.toml"
    path.write_text(EVERYTHING)
    config = RelayConfig.load(
        path, {"vip": ["192.0.2.9:1"], "max_flows": 5, "idle": None, "interface": []}
    )
    assert config.vips == (Endpoint("192.0.2.9", 1),)
    assert config.max_flows == 5
    assert config.idle == 120
    assert config.interfaces == ("eth0", "eth1")


def test_one_value_needs_no_list_and_is_kept_once() -> None:
    config = config_of(
        vip=["203.0.113.10:3478", "[::ffff:203.0.113.10]:3478"],
        upstream="::ffff:192.0.2.1",
        interface=["eth0", "eth0"],
    )
    assert config.vips == (Endpoint("203.0.113.10", 3478),)
    assert config.upstreams == ("192.0.2.1",)
    assert config.interfaces == ("eth0",)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"vip": []}, "name the public address with --vip"),
        ({"vip": None}, "name the public address with --vip"),
        ({"vip": "203.0.113.10"}, "vip: '203.0.113.10' is not a transport address"),
        ({"vip": "relay.example.org:3478"}, "vip: 'relay.example.org' is not an IP"),
        ({"vip": "203.0.113.10:0"}, "vip: .* no port from 1 to 65535"),
        ({"vip": "0.0.0.0:3478"}, "0.0.0.0:3478 is no VIP"),
        ({"vip": "[::ffff:0.0.0.0]:3478"}, "0.0.0.0:3478 is no VIP"),
        ({"vip": "[::]:3478"}, r"\[::\]:3478 is no VIP"),
        ({"vip": [3478]}, "vip: must be a text"),
        ({"vip": {"ip": "203.0.113.10"}}, "vip: must be a text"),
        ({"vip": "192.0.2.1:20000"}, "lies among the upstream ports: move --ports"),
        ({"upstream": None}, "name the internal one with --upstream"),
        ({"upstream": "192.0.2.1:5000"}, "upstream: '192.0.2.1:5000' is not an IP"),
        ({"upstream": "0.0.0.0"}, "upstream: 0.0.0.0 is not the address of an interface"),
        ({"upstream": "::"}, "upstream: :: is not the address of an interface"),
        ({"upstream": "fe80::1%eth0"}, "upstream: .*has a zone"),
        ({"ports": "29999-20000"}, "ports: '29999-20000' must rise"),
        ({"ports": 20000}, "ports: must be a text"),
        ({"keys": None}, "--keys FILE is missing"),
        ({"keys": 5}, "keys: must be a text"),
        ({"keys": ""}, "keys: must be a text"),
        ({"keys": "~nobody-of-this-name/keys.toml"}, "keys: .*home"),
        ({"registry": None}, "--registry FILE is missing"),
        ({"dataplane": "dpdk"}, "dataplane: 'dpdk' is none of xdp, userspace, auto"),
        ({"dataplane": 5}, "dataplane: 5 is none of"),
        ({"dataplane": "xdp"}, "the XDP dataplane needs --interface"),
        ({"mode": "fast"}, "mode: 'fast' is none of native, generic, auto"),
        ({"redis": "127.0.0.1:6379"}, "redis: '127.0.0.1:6379' is no URL of Redis: write redis://"),
        ({"redis": "http://127.0.0.1:6379"}, "redis: .* is no URL of Redis"),
        ({"redis": "redis://127.0.0.1:port/"}, "redis: .* is no URL of Redis"),
        ({"redis": "redis://[::1/"}, "redis: .* is no URL of Redis"),
        ({"instance": "../blue"}, "an instance's name has letters"),
        ({"instance": "x" * 65}, "an instance's name has letters"),
        ({"instance": "blue\n"}, "an instance's name has letters"),
        ({"metrics": "9100"}, "metrics: '9100' is not a transport address"),
        ({"max_flows": 0}, "max-flows must be at least 1"),
        ({"max_flows": 1.5}, "max_flows: must be a whole number"),
        ({"max_flows": True}, "max_flows: must be a whole number"),
        ({"max_flows": float("inf")}, "max_flows: must be a whole number"),
        ({"max_flows": "many"}, "max_flows: must be a whole number"),
        ({"idle": 119.9}, "idle must be at least 120 seconds"),
        ({"idle": float("nan")}, "idle: must be a number"),
        ({"idle": float("inf")}, "idle: must be a number"),
        ({"idle": "5m"}, "idle: must be a number"),
        ({"idle": True}, "idle: must be a number"),
        ({"vips": "203.0.113.10:3478"}, "unknown setting 'vips'; known are vip, upstream"),
    ],
    ids=str,
)
def test_a_wrong_setting_is_refused_in_words(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        config_of(**changes)


SETTINGS = [*LEAST, "ports", "dataplane", "interface", "mode", "redis", "instance", "admin"]
SETTINGS += ["metrics", "max-flows", "max_flows", "idle", "other"]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=4,
)


@given(st.dictionaries(st.sampled_from(SETTINGS), VALUES, min_size=1))
def test_any_document_is_read_or_refused_in_words(changes: dict[str, Any]) -> None:
    try:
        config = config_of(**changes)
    except ConfigError:
        return
    assert config.vips
    assert config.idle >= 120


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, r"cannot read .*relay\.toml: No such file"),
        (b"vip = ", r"relay\.toml is not valid TOML"),
        (b"\xff\xfe", r"relay\.toml is not valid TOML"),
    ],
    ids=["missing", "no TOML", "no text"],
)
def test_a_file_that_cannot_be_used_is_named(
    tmp_path: Path, content: bytes | None, says: str
) -> None:
    path = tmp_path / "relay.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=says):
        RelayConfig.load(path, LEAST)


@pytest.mark.parametrize(
    ("text", "ports"),
    [
        ("20000-29999", range(20_000, 30_000)),
        ("1024-65535", range(1024, 65_536)),
        ("5000-5000", range(5000, 5001)),
    ],
)
def test_parse_ports_includes_both_ends(text: str, ports: range) -> None:
    assert parse_ports(text) == ports


@pytest.mark.parametrize(
    "text",
    [
        *("", "-", "20000", "20000-", "-29999", "20000:29999", "20000-29999\n", "٢٠٠٠٠-٢٩٩٩٩"),
        *("a-b", "1023-2000", "20000-65536", "0-99999", "30000-20000", "200000-200001"),
    ],
)
def test_parse_ports_refuses_the_rest(text: str) -> None:
    with pytest.raises(ConfigError, match=r"range of ports|must rise"):
        parse_ports(text)


class TestForTheProgram:
    KEYS = KeyRing({0: bytes(range(32)), 3: bytes(32)}, signing_slot=3)
    REGISTRY = Registry(
        tuple(Transceiver(Target(cluster, 1, 1), Endpoint("192.0.2.2", 5000)) for cluster in (1, 7))
    )

    def test_settings_hold_the_key_of_every_cluster_and_slot(self) -> None:
        config = config_of(upstream=["192.0.2.1", "2001:db8::1"], ports="20000-20999")
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
            interface="eth0", dataplane="xdp", mode="native", instance="blue", max_flows=10
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
    hosts = ["192.0.2.1", "2001:db8:2::1", "192.0.2.9", "192.0.2.1"]
    config = config_of(upstream=hosts)
    assert config.upstreams_by_family == {
        socket.AF_INET: ["192.0.2.1", "192.0.2.9"],
        socket.AF_INET6: ["2001:db8:2::1"],
    }


def test_workers_are_for_userspace_alone() -> None:
    assert config_of(dataplane="userspace", workers=4).workers == 4
    assert config_of(dataplane="userspace", workers="4").workers == 4
    assert config_of(workers=1).workers == 1
    for dataplane in ("auto", "xdp"):
        with pytest.raises(ConfigError, match="--dataplane userspace, or leave --workers away"):
            config_of(dataplane=dataplane, interface="eth0", workers=2)


def test_auto_is_a_worker_for_each_processor() -> None:
    config = config_of(dataplane="userspace", workers="auto")
    assert config.workers == len(os.sched_getaffinity(0))


@pytest.mark.parametrize("workers", [0, -1, "many", 1.5, True, 3])
def test_impossible_numbers_of_workers_are_refused(workers: object) -> None:
    with pytest.raises(ConfigError, match="workers"):
        config_of(dataplane="userspace", workers=workers, ports="20000-20001")


def test_workers_divide_ports_and_room_among_them() -> None:
    whole = config_of(
        dataplane="userspace", workers=3, ports="20000-20009", max_flows=10, admin="/run/a.sock"
    )
    shares = [whole.worker(index) for index in range(3)]
    assert sorted(port for share in shares for port in share.ports) == list(whole.ports)
    assert [share.max_flows for share in shares] == [4, 4, 4]
    assert len({share.admin_path for share in shares} | {whole.admin_path}) == 4
    assert all(share.workers == 1 for share in shares)
