"""What is read of a URL of Redis, and what none may have."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.redisclient import connect
from relay.redisurl import ParsedUrl, Way, parse


@pytest.mark.parametrize(
    ("url", "parsed"),
    [
        ("redis://h", ParsedUrl(way=Way.SERVER, tls=False, hosts=(("h", 6379),))),
        ("redis://h:1/", ParsedUrl(way=Way.SERVER, tls=False, hosts=(("h", 1),))),
        (
            "rediss://ann:p%2Fw@[::1]:6380/2",
            ParsedUrl(
                way=Way.SERVER,
                tls=True,
                hosts=(("::1", 6380),),
                database=2,
                username="ann",
                password="p/w",
            ),
        ),
        (
            "unix://:p@w@/run/redis.sock?db=3",
            ParsedUrl(
                way=Way.SERVER, tls=False, socket="/run/redis.sock", database=3, password="p@w"
            ),
        ),
        (
            "rediss+cluster://:p[w@a:7000,[::1],b:7001/0",
            ParsedUrl(
                way=Way.CLUSTER,
                tls=True,
                hosts=(("a", 7000), ("::1", 6379), ("b", 7001)),
                password="p[w",
            ),
        ),
        (
            "redis+sentinel://a,b:26380/calls",
            ParsedUrl(
                way=Way.SENTINEL, tls=False, hosts=(("a", 26379), ("b", 26380)), master="calls"
            ),
        ),
        ("redis+cluster://,h:1", ParsedUrl(way=Way.CLUSTER, tls=False, hosts=(("h", 1),))),
    ],
)
def test_its_parts(url: str, parsed: ParsedUrl) -> None:
    assert parse(url) == parsed


def test_what_stands_behind_the_question_mark() -> None:
    parsed = parse(
        "rediss+sentinel://ann@a/calls/1?db=4&username=eve&sentinel_username=bob"
        "&sentinel_password=s%26w&ssl_ca_certs=/ca.pem&ssl_check_hostname=no&socket_timeout=0.5"
    )
    assert (parsed.username, parsed.password, parsed.database) == ("eve", None, 4)
    assert parsed.sentinel == {"username": "bob", "password": "s&w"}
    assert parsed.options == {
        "ssl_ca_certs": "/ca.pem",
        "ssl_check_hostname": False,
        "socket_timeout": 0.5,
    }


NO_NUMBER = "has no number of a database"
REFUSED = [
    ("", "is no URL of Redis"),
    ("h:6379", "is no URL of Redis"),
    ("http://h", "is no URL of Redis"),
    ("redis+proxy://h", "is no URL of Redis"),
    ("unixs:///x", "is no URL of Redis"),
    ("redis://h h", "is no URL of Redis"),
    ("redis://h\t", "is no URL of Redis"),
    ("redis://a:1,b:2", "is no URL of Redis"),
    ("redis://a,b", "is no URL of Redis"),
    ("redis://[::1", "is no URL of Redis"),
    ("redis://h:0", "is no URL of Redis"),
    ("redis://h:port", "is no URL of Redis"),
    ("redis+cluster://h:1,b:port", "is no URL of Redis"),
    ("redis://:1", "is no URL of Redis"),
    ("redis://", "names no host: write redis://HOST:PORT"),
    ("redis:///0", "names no host: write redis://HOST:PORT"),
    ("redis://:pw@", "names no host: write redis://HOST:PORT"),
    ("redis+cluster://", "names no host: write redis+cluster://HOST:PORT"),
    ("redis+sentinel:///calls", "names no host: write redis+sentinel://HOST:PORT"),
    ("unix://run/redis.sock", "names no socket: write unix:///PATH"),
    ("unix:///", "names no socket: write unix:///PATH"),
    ("redis://h/notadb", f"{NO_NUMBER} behind its host: write redis://HOST:PORT/0"),
    ("redis://h/-1", NO_NUMBER),
    ("redis://h/1/2", NO_NUMBER),
    ("redis://h/\u0661", NO_NUMBER),
    ("redis+cluster://h/x", f"{NO_NUMBER} behind its host; leave it away"),
    ("redis+cluster://h/1", "a Redis Cluster has none but 0; leave it away"),
    ("redis+cluster://h?db=1", "a Redis Cluster has none but 0; leave it away"),
    ("redis+sentinel://h:1", "names no master: write redis+sentinel://HOST:PORT/MASTER"),
    ("redis+sentinel://h:1/m/xx", f"{NO_NUMBER} behind its master: write redis+sentinel://"),
    ("redis+sentinel://h:1/m/0/1", f"{NO_NUMBER} behind its master"),
    ("redis://h/0#1", "has a #; in a user or password write %2F for /"),
    ("redis://h/0?foo=bar", "has foo, which nobody knows, behind its ?: known are db, username"),
    ("redis://h/0?foo", "has foo, which nobody knows"),
    ("redis://h/0?protocol=3", "has protocol, which nobody knows"),
    ("redis://h/0?decode_responses=1", "has decode_responses, which nobody knows"),
    ("redis://h?socket_timeout=abc", "has socket_timeout behind its ?, which must be a number"),
    ("redis://h?socket_timeout=inf", "must be a number of seconds above 0"),
    ("redis://h?socket_connect_timeout=0", "must be a number of seconds above 0"),
    ("redis://h?db=x", "has db behind its ?, which must be the number of a database"),
    ("redis://h?password=", "has password behind its ?, which needs a value"),
    ("redis://h?client_name=a%20b", "which must be a name without spaces"),
    ("redis://h?db=1&db=2", "has db twice behind its ?: leave out one"),
    ("redis://h?ssl_ca_certs=f", "has ssl_ca_certs, but no TLS: let it begin with rediss"),
    ("rediss://h?ssl_check_hostname=maybe", "which must be true or false"),
    ("rediss://h?ssl_cert_reqs=some", "which must be one of required, optional, none"),
    ("redis://h?sentinel_password=x", "has sentinel_password, but no Sentinels"),
]


@pytest.mark.parametrize(("url", "says"), REFUSED)
def test_what_is_refused_in_words(url: str, says: str) -> None:
    with pytest.raises(ValueError, match=r"\A(is|has|names) ") as refused:
        parse(url)
    assert says in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://:se/cret@h:1",
        "redis://:se?cret@h:1",
        "redis://:12?cret=x@h:1",
        "redis://ann:12/secret@h",
        "redis://h?SECRET",
        "redis://:se#cret@h:1",
        "redis://h/secret",
        "redis+sentinel://h/m/secret",
        "redis://h?socket_timeout=secret",
    ],
)
def test_nothing_of_a_password_is_told(url: str) -> None:
    with pytest.raises(ValueError, match=r"\A(is|has|names) ") as refused:
        parse(url)
    assert "cret" not in str(refused.value).lower()


def test_a_password_is_in_no_traceback() -> None:
    assert "hidden" not in repr(parse("redis+sentinel://:hidden@h/m?sentinel_password=hidden"))


PIECES = st.sampled_from(
    [
        *("redis", "rediss", "unix", "+sentinel", "+cluster", "://", "@", ":", ",", "/", "?", "#"),
        *("&", "=", "h", "[::1]", "%2F", "0", "26379", "calls", "db", "ssl_ca_certs", "x y"),
        *("socket_timeout", "sentinel_password", "username"),
    ]
)


@given(st.lists(PIECES, max_size=14).map("".join) | st.text(string.printable, max_size=30))
def test_of_what_is_taken_a_client_can_be_made_and_all_else_is_refused(text: str) -> None:
    for url in (text, f"redis://{text}", f"redis+sentinel://{text}", f"rediss+cluster://{text}"):
        try:
            parse(url)
        except ValueError as error:
            assert str(error).startswith(("is ", "has ", "names "))  # noqa: PT017  # or not at all
        else:
            connect(url, 1.0)
