"""What each kind of setting takes, as text of an option or as a value of TOML, and refuses."""

from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import PlainValidator, TypeAdapter, ValidationError

from relay.config.fields import (
    Address,
    Clusters,
    FilePath,
    HostAddress,
    HostAddresses,
    Hosts,
    Names,
    Networks,
    Number,
    OneHostAddresses,
    RedisUrl,
    Text,
    WholeNumber,
    one_of,
    setting,
)
from relay.wire.endpoint import Endpoint


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


Shade = Annotated[Colour, PlainValidator(one_of(Colour))]
VIP, OTHER = Endpoint("203.0.113.10", 3478), Endpoint("2001:db8::10", 3478)


def id_of(value: object) -> str:
    """An id without memory addresses, which differ between the workers of a parallel run."""
    return "kind" if "Annotated" in str(value) else str(value)


SEVERAL_HOSTS = (
    "redis+cluster://127.0.0.1:7000,127.0.0.1:7001",
    "rediss+cluster://user:password@[::1]:7000,[::1]:7001",
    "redis+sentinel://127.0.0.1:26379,127.0.0.1:26380/calls/0",
)


@pytest.mark.parametrize(
    ("kind", "given", "taken"),
    [
        (Text, "blue", "blue"),
        (WholeNumber, 5, 5),
        (WholeNumber, "5", 5),
        (Number, 5, 5.0),
        (Number, "0.5", 0.5),
        (FilePath, "a/b", Path("a/b")),
        (FilePath, Path("a/b"), Path("a/b")),
        (Address, "0.0.0.0:80", Endpoint("0.0.0.0", 80)),
        (Address, "[2001:db8:0::10]:3478", OTHER),
        (HostAddress, "203.0.113.10:3478", VIP),
        (HostAddress, "[::ffff:203.0.113.10]:3478", VIP),
        (HostAddresses, "203.0.113.10:3478", (VIP,)),
        (HostAddresses, ["203.0.113.10:3478", "[2001:db8::10]:3478"], (VIP, OTHER)),
        (HostAddresses, ["203.0.113.10:3478", "[::ffff:203.0.113.10]:3478"], (VIP,)),
        (OneHostAddresses, "10.0.0.5:3478", (Endpoint("10.0.0.5", 3478),)),
        (OneHostAddresses, ["203.0.113.10:3478", "[2001:db8::10]:3478"], (VIP, OTHER)),
        (Hosts, "2001:DB8:0::1", ("2001:db8::1",)),
        (Hosts, ["192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2"], ("192.0.2.1", "192.0.2.2")),
        (Names, "eth0", ("eth0",)),
        (Names, ["eth1", "eth0", "eth1"], ("eth1", "eth0")),
        (Names, [], ()),
        (Networks, "10.0.0.0/8", (IPv4Network("10.0.0.0/8"),)),
        (
            Networks,
            ["192.0.2.1", "2001:db8::/32"],
            (IPv4Network("192.0.2.1"), IPv6Network("2001:db8::/32")),
        ),
        (RedisUrl, "redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        (RedisUrl, "rediss://user:password@[::1]:6380/1", "rediss://user:password@[::1]:6380/1"),
        (RedisUrl, "unix:///run/redis.sock", "unix:///run/redis.sock"),
        *((RedisUrl, url, url) for url in SEVERAL_HOSTS),
        (Shade, "red", Colour.RED),
    ],
    ids=id_of,
)
def test_what_is_taken(kind: Any, given: object, taken: object) -> None:
    assert TypeAdapter(kind).validate_python(given) == taken


@pytest.mark.parametrize(
    ("kind", "given", "says"),
    [
        (Text, "", "must be a text"),
        (Text, 5, "must be a text"),
        (WholeNumber, True, "must be a number"),
        (WholeNumber, 1.5, "integer"),
        (WholeNumber, "many", "integer"),
        (Number, False, "must be a number"),
        (Number, "nan", "finite"),
        (Number, float("inf"), "finite"),
        (FilePath, "", "must be a text"),
        (FilePath, 5, "must be a text"),
        (FilePath, "~nobody-of-this-name/keys.toml", "home"),
        (Address, "localhost:80", "'localhost' is not an IP"),
        (Address, "203.0.113.10", "not a transport address"),
        (Address, 80, "must be a text"),
        (HostAddress, "0.0.0.0:80", "0.0.0.0:80: name one address, not all of them"),
        (HostAddress, "[::]:80", "name one address"),
        (HostAddress, "[::ffff:0.0.0.0]:80", "name one address"),
        (HostAddresses, ["203.0.113.10:3478", "[::]:80"], "name one address"),
        (HostAddresses, {"ip": "203.0.113.10"}, "must be a text"),
        (OneHostAddresses, "0.0.0.0:80", "0.0.0.0:80 is not the address of one host"),
        (OneHostAddresses, "[ff02::1]:80", "is not the address of one host"),
        (OneHostAddresses, ["203.0.113.10:1", "[fe80::1]:80"], "is not the address of one host"),
        (OneHostAddresses, "203.0.113.10:0", "no port from 1 to 65535"),
        (Hosts, "192.0.2.1:5000", "'192.0.2.1:5000' is not an IP"),
        (Hosts, ["192.0.2.1", "::"], ":: is not the address of an interface"),
        (Names, ["eth0", 5], "must be a text"),
        (Names, ["eth0", ""], "must be a text"),
        (Networks, "10.1.2.3/8", "host bits set: write an address or ADDRESS/PREFIX"),
        (Networks, "proxy", "write an address or ADDRESS/PREFIX"),
        (Clusters, 65536, "must be a number from 0 to 65535"),
        (Clusters, ["1", "-1"], "must be a number from 0 to 65535"),
        (Clusters, True, "must be a number from 0 to 65535"),
        (RedisUrl, "127.0.0.1:6379", "is no URL of Redis: write redis://HOST:PORT/DB"),
        (RedisUrl, "http://127.0.0.1:6379", "is no URL of Redis"),
        (RedisUrl, "redis://127.0.0.1:0", "is no URL of Redis"),
        (RedisUrl, "redis://127.0.0.1:port", "is no URL of Redis"),
        (RedisUrl, "redis://[::1", "is no URL of Redis"),
        (RedisUrl, "redis+cluster://127.0.0.1:0", "is no URL of Redis"),
        (RedisUrl, "redis+cluster://127.0.0.1:1,127.0.0.1:port", "is no URL of Redis"),
        (RedisUrl, "redis+sentinel://127.0.0.1:0,127.0.0.1:1/calls", "is no URL of Redis"),
        (RedisUrl, "redis://127.0.0.1:1,127.0.0.1:2", "is no URL of Redis"),
        (RedisUrl, "redis+proxy://127.0.0.1", "is no URL of Redis"),
        (RedisUrl, "redis+sentinel://h:1", "'redis+sentinel://h:1' names no master: write redis+"),
        (RedisUrl, "redis+sentinel://h:1/m/xx", "has no number of a database behind its master"),
        (RedisUrl, "redis+cluster://", "'redis+cluster://' names no host: write redis+cluster:"),
        (RedisUrl, "redis://h/notadb", "has no number of a database behind its host"),
        (RedisUrl, "redis://h/0?foo=bar", "'redis://h/0' has foo, which nobody knows, behind its"),
        (RedisUrl, "redis://h?socket_timeout=abc", "has socket_timeout behind its ?, which must"),
        (RedisUrl, 6379, "must be a text"),
        (Shade, "green", "'green' is none of red, blue"),
        (Shade, 5, "5 is none of red, blue"),
    ],
    ids=id_of,
)
def test_what_is_refused_in_words(kind: Any, given: object, says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(kind).validate_python(given)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://me:secret@db:1", "'http://...@db:1' is no URL of Redis"),
        ("http://db:1?password=secret", "'http://db:1' is no URL of Redis"),
        (":secret@db:6379", "'...@db:6379' is no URL of Redis"),
    ],
)
def test_a_password_in_a_url_that_is_refused_is_not_told(url: str, shown: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(RedisUrl).validate_python(url)
    told = str(caught.value.errors()[0]["ctx"]["error"])  # which is what commands print
    assert told.startswith(shown)
    assert "secret" not in told


def test_home_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    assert TypeAdapter(FilePath).validate_python("~/keys.toml") == Path("/home/ann/keys.toml")


def test_a_setting_keeps_what_its_option_says() -> None:
    field = setting(5, help="how many", metavar="NUMBER", shown="five", example=6)
    assert (field.default, field.description) == (5, "how many")
    assert field.json_schema_extra == {"metavar": "NUMBER", "shown": "five", "example": 6}
    assert setting(help="which", metavar="NAME").is_required()
