"""Settings that are right one by one, and contradict each other."""

from typing import TYPE_CHECKING, Any

import pytest

from relay.cli.contradictions import contradictions
from relay.cli.tree import TREE

if TYPE_CHECKING:
    from relay.config.settings import Settings

LEAST: dict[str, dict[str, Any]] = {
    "relay": {
        "vip": "203.0.113.10:3478",
        "upstream": "192.0.2.1",
        "keys": "k",
        "registry": "r",
    },
    "transceiver": {"listen": "192.0.2.2:5000", "control": "192.0.2.2:9000", "keys": "k"},
    "signaling": {"listen": "127.0.0.1:8080", "registry": "r"},
    "agent": {},
    "up": {},
}


def found(**sections: dict[str, Any]) -> list[tuple[str, str]]:
    """The settings that are told of, of sections with these settings."""
    return [(each.section, each.name) for each in told(**sections)]


def told(**sections: dict[str, Any]) -> Any:
    given = {name: LEAST[name] | more for name, more in sections.items()}
    settings: dict[str, Settings] = {
        name: TREE[name].load(values, tree=TREE) for name, values in given.items()
    }
    return contradictions(settings, given)


def test_the_least_that_services_need_does_not_contradict_itself() -> None:
    assert found(**{name: {} for name in LEAST}) == []


@pytest.mark.parametrize(
    ("section", "settings", "name"),
    [
        ("relay", {"setup_rate": 100}, "setup_rate_per_prefix"),
        ("relay", {"setup_rate_per_ufrag": 6000}, "setup_rate_per_ufrag"),
        ("relay", {"ports": "20000-40000"}, "ports"),
        (
            "relay",
            {"tcp": "203.0.113.10:443", "tcp_ports": "40000-41000", "max_connections": 9},
            "tcp_ports",
        ),
        ("relay", {"tcp": "203.0.113.10:443", "tcp_ports": "31000-31009"}, "max_connections"),
        ("relay", {"max_connections": 9}, "max_connections"),
        ("relay", {"metrics_public": True}, "metrics_public"),
        ("relay", {"mode": "native"}, "mode"),
        ("relay", {"interface": "eth0", "dataplane": "userspace", "force": True}, "force"),
        ("relay", {"region": "eu"}, "region"),
        ("transceiver", {"region": "eu"}, "region"),
        ("transceiver", {"redis": "redis://h/0", "generation": 2}, "generation"),
        ("signaling", {"cluster": 2}, "cluster"),
        ("signaling", {"open": True, "keys_file": "k"}, "open"),
        ("up", {"interface": "eth0"}, "interface"),
    ],
)
def test_within_a_service(section: str, settings: dict[str, Any], name: str) -> None:
    assert found(**{section: settings}) == [(section, name)]


@pytest.mark.parametrize(
    ("sections", "name"),
    [
        ({"relay": {"max_flows": 50}, "transceiver": {}}, ("transceiver", "capacity")),
        (
            {"relay": {"upstream": "192.0.2.2"}, "transceiver": {"listen": "192.0.2.2:12000"}},
            ("transceiver", "listen"),
        ),
        (
            {"relay": {"redis": "redis://a/0"}, "transceiver": {"redis": "redis://b/0"}},
            ("transceiver", "redis"),
        ),
        (
            {
                "relay": {"redis": "redis://a/0", "cluster": 1},
                "transceiver": {"redis": "redis://a/0", "cluster": 2},
            },
            ("transceiver", "cluster"),
        ),
        (
            {"relay": {"metrics": "127.0.0.1:8080"}, "signaling": {}},
            ("signaling", "listen"),
        ),
        (
            {
                "transceiver": {"workers": 3},
                "signaling": {"listen": "192.0.2.2:9002", "open": True},
            },
            ("signaling", "listen"),
        ),
    ],
)
def test_between_services(sections: dict[str, dict[str, Any]], name: tuple[str, str]) -> None:
    assert found(**sections) == [name]


def test_it_says_what_the_matter_is() -> None:
    (only,) = told(relay={"setup_rate": 100, "setup_rate_per_ufrag": 20})
    assert only.text == "5000 is never reached: setup-rate lets only 100 a second through"
