"""Values as they may be shown: nothing of a secret, and plain data that can be written again."""

import json
from enum import StrEnum
from ipaddress import ip_network
from pathlib import Path

import pytest

from relay.config.shown import in_words, plain
from relay.wire.endpoint import Endpoint
from signaling.whipconfig import IceServer


class Mode(StrEnum):
    AUTO = "auto"


VIP = Endpoint("2001:db8::1", 3478)
CASES = [
    (None, None, "-"),
    (True, True, "true"),
    (5, 5, "5"),
    (300.0, 300.0, "300"),
    (range(10, 20), "10-19", "10-19"),
    (Path("/a/b"), "/a/b", "/a/b"),
    (Mode.AUTO, "auto", "auto"),
    (VIP, "[2001:db8::1]:3478", "[2001:db8::1]:3478"),
    ((VIP, VIP), [str(VIP)] * 2, f"{VIP}, {VIP}"),
    ((ip_network("10.0.0.0/8"),), ["10.0.0.0/8"], "10.0.0.0/8"),
    ((), [], "-"),
]


@pytest.mark.parametrize(("value", "data", "words"), CASES, ids=repr)
def test_each_kind_of_value(value: object, data: object, words: str) -> None:
    assert (plain(value), in_words(value)) == (data, words)
    assert json.loads(json.dumps(plain(value))) == data


@pytest.mark.parametrize(
    "value",
    [
        "redis://user:hidden@192.0.2.1:6379/0",
        "rediss://:hidden@redis.example.org/1?password=hidden",
        "wss://example.net/v1/realtime?key=hidden",
        (IceServer("turn:192.0.2.1:3478", "anna", "hidden"),),
    ],
)
def test_secrets_are_not_shown(value: object) -> None:
    assert "hidden" not in in_words(value)
    assert "192.0.2.1" in in_words(value) or "example" in in_words(value)
