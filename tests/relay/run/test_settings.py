"""A relay's settings: what an operator may write, and what is said when it is wrong."""

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.cli.tree import TREE
from relay.dataplane.interface import DataplaneChoice
from relay.dataplane.kernel.config import Mode
from relay.errors import ConfigError
from relay.run.config import RelayConfig
from relay.run.settings import RelaySettings, parse_ports
from relay.wire.endpoint import Endpoint

LEAST = {
    "vip": ["203.0.113.10:3478"],
    "upstream": ["192.0.2.1"],
    "keys": "keys.toml",
    "registry": "registry.toml",
}
EVERYTHING = """
vip = ["203.0.113.10:3478", "[2001:db8::10]:3478"]
advertise = ["198.51.100.7:443", "[2001:db8::7]:443"]
upstream = ["192.0.2.1", "2001:DB8:0::1"]
ports = "20000-29999"
tcp = ["203.0.113.10:3478", "203.0.113.10:443"]
tcp-ports = "31000-31999"
max-connections = 100
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
setup-rate = 9000
setup-rate-per-prefix = 300
setup-rate-per-ufrag = 30
workers = 1
"""


def load(path: Path | None, options: dict[str, Any]) -> RelayConfig:
    return RelaySettings.load(options, tree=TREE, file=path).config()


def config_of(**changes: Any) -> RelayConfig:
    return load(None, LEAST | changes)


def test_a_file_with_everything(tmp_path: Path) -> None:
    path = tmp_path / "relay.toml"
    path.write_text(EVERYTHING)
    assert load(path, {}) == RelayConfig(
        vips=(Endpoint("203.0.113.10", 3478), Endpoint("2001:db8::10", 3478)),
        advertise=(Endpoint("198.51.100.7", 443), Endpoint("2001:db8::7", 443)),
        upstreams=("192.0.2.1", "2001:db8::1"),
        ports=range(20_000, 30_000),
        tcp=(Endpoint("203.0.113.10", 3478), Endpoint("203.0.113.10", 443)),
        tcp_ports=range(31_000, 32_000),
        max_connections=100,
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
        setup_rate=9000,
        setup_rate_per_prefix=300,
        setup_rate_per_ufrag=30,
    )


def test_the_least_that_is_needed_and_defaults_for_the_rest() -> None:
    config = config_of()
    assert config.dataplane is DataplaneChoice.AUTO
    # Below the ephemeral range, or another socket would be given a flow's port.
    assert config.ports.stop <= config.tcp_ports.start < config.tcp_ports.stop <= 32_768
    assert config.tcp == ()
    assert config.max_connections <= len(config.tcp_ports)
    assert config.idle >= 120
    assert (config.redis, config.metrics, config.admin) == (None, None, None)


def test_options_replace_what_the_file_says(tmp_path: Path) -> None:
    path = tmp_path / "relay.toml"
    path.write_text(EVERYTHING)
    options = {"vip": ["192.0.2.9:1"], "advertise": ["198.51.100.8:1"]}
    config = load(path, options | {"max_flows": 5, "idle": None, "interface": []})
    assert config.vips == (Endpoint("192.0.2.9", 1),)
    assert config.advertise == (Endpoint("198.51.100.8", 1),)
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
        ({"vip": []}, "--vip IP:PORT is missing: a public address"),
        ({"vip": None}, "--vip IP:PORT is missing: a public address"),
        ({"vip": "203.0.113.10"}, "vip: '203.0.113.10' is not a transport address"),
        ({"vip": "relay.example.org:3478"}, "vip: 'relay.example.org' is not an IP"),
        ({"vip": "203.0.113.10:0"}, "vip: .* no port from 1 to 65535"),
        ({"vip": "0.0.0.0:3478"}, "vip: 0.0.0.0:3478: name one address"),
        ({"vip": "[::ffff:0.0.0.0]:3478"}, "vip: 0.0.0.0:3478: name one address"),
        ({"vip": "[::]:3478"}, r"vip: \[::\]:3478: name one address"),
        ({"vip": [3478]}, "vip: must be a text"),
        ({"vip": {"ip": "203.0.113.10"}}, "vip: must be a text"),
        (
            {"vip": "192.0.2.1:20000"},
            "lies among the upstream ports 10000-29999: choose another port in --vip, or move",
        ),
        ({"advertise": "198.51.100.7"}, "advertise: '198.51.100.7' is not a transport address"),
        ({"advertise": ["[fe80::1]:3478"]}, r"advertise: \[fe80::1\]:3478 is not the address of"),
        ({"advertise": "[2001:db8::7]:3478"}, "an IPv6 address is advertised, and no VIP is IPv6"),
        ({"upstream": None}, "--upstream IP is missing: an internal address"),
        ({"upstream": "192.0.2.1:5000"}, "upstream: '192.0.2.1:5000' is not an IP"),
        ({"upstream": "0.0.0.0"}, "upstream: 0.0.0.0 is not the address of an interface"),
        ({"upstream": "::"}, "upstream: :: is not the address of an interface"),
        ({"upstream": "fe80::1%eth0"}, "upstream: .*has a zone"),
        ({"ports": "29999-20000"}, "ports: '29999-20000' must rise"),
        ({"ports": 20000}, "ports: 20000 is no range of ports"),
        ({"tcp": "0.0.0.0:443"}, "tcp: 0.0.0.0:443: name one address"),
        ({"tcp": "203.0.113.10"}, "tcp: '203.0.113.10' is not a transport address"),
        ({"tcp_ports": "443"}, "tcp-ports: '443' is no range of ports"),
        (
            {"tcp": "203.0.113.10:443", "tcp_ports": "29999-30001"},
            "overlap with those of the others, 10000-29999: move them with --tcp-ports, or move",
        ),
        (
            {"tcp": "203.0.113.10:443", "vip": "192.0.2.1:30000"},
            "lies among the upstream ports 30000-32767: choose another .*, or move .* --tcp-ports",
        ),
        ({"max_connections": 0}, "max-connections: must be at least 1"),
        ({"keys": None}, "--keys FILE is missing"),
        ({"keys": 5}, "keys: must be a text"),
        ({"keys": ""}, "keys: must be a text"),
        ({"keys": "~nobody-of-this-name/keys.toml"}, "keys: .*home"),
        (
            {"registry": None},
            "nothing says where transceivers are: name the .* with --registry",
        ),
        ({"dataplane": "dpdk"}, "dataplane: 'dpdk' is none of xdp, userspace, auto"),
        ({"dataplane": 5}, "dataplane: 5 is none of"),
        ({"dataplane": "xdp"}, "the XDP dataplane needs an interface: name it with --interface"),
        ({"mode": "fast"}, "mode: 'fast' is none of native, generic, auto"),
        ({"redis": "127.0.0.1:6379"}, "redis: '127.0.0.1:6379' is no URL of Redis: write redis://"),
        ({"redis": "http://127.0.0.1:6379"}, "redis: .* is no URL of Redis"),
        ({"redis": "redis://127.0.0.1:port/"}, "redis: .* is no URL of Redis"),
        ({"redis": "redis://[::1/"}, "redis: .* is no URL of Redis"),
        ({"instance": "../blue"}, "such a name has letters"),
        ({"instance": "x" * 65}, "such a name has letters"),
        ({"instance": "blue\n"}, "such a name has letters"),
        ({"metrics": "9100"}, "metrics: '9100' is not a transport address"),
        ({"max_flows": 0}, "max-flows: must be at least 1"),
        ({"max_flows": 1.5}, "max-flows: must be a whole number"),
        ({"max_flows": True}, "max-flows: must be a number"),
        ({"max_flows": float("inf")}, "max-flows: must be a number"),
        ({"max_flows": "many"}, "max-flows: must be a whole number"),
        ({"idle": 119.9}, "idle: must be at least 120"),
        ({"idle": float("nan")}, "idle: must be a number"),
        ({"idle": float("inf")}, "idle: must be a number"),
        ({"idle": "5m"}, "idle: must be a number"),
        ({"idle": True}, "idle: must be a number"),
    ],
    ids=str,
)
def test_a_wrong_setting_is_refused_in_words(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        config_of(**changes)


SETTINGS = [*LEAST, "ports", "dataplane", "interface", "mode", "redis", "instance", "admin"]
SETTINGS += ["advertise", "metrics", "max_flows", "idle", "workers", "force"]
SETTINGS += ["tcp", "tcp_ports", "max_connections"]
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
    with pytest.raises(ValueError, match=r"range of ports|must rise"):
        parse_ports(text)


def test_workers_are_for_userspace_alone() -> None:
    assert config_of(dataplane="userspace", workers=4).workers == 4
    assert config_of(dataplane="userspace", workers="4").workers == 4
    assert config_of(workers=1).workers == 1
    for dataplane in ("auto", "xdp"):
        with pytest.raises(
            ConfigError, match="write --dataplane userspace, or leave --workers away"
        ):
            config_of(dataplane=dataplane, interface="eth0", workers=2)


def test_auto_is_a_worker_for_each_processor() -> None:
    config = config_of(dataplane="userspace", workers="auto")
    assert config.workers == len(os.sched_getaffinity(0))


@pytest.mark.parametrize("workers", [0, -1, "many", 1.5, True, 3])
def test_impossible_numbers_of_workers_are_refused(workers: object) -> None:
    with pytest.raises(ConfigError, match="workers"):
        config_of(dataplane="userspace", workers=workers, ports="20000-20001")
