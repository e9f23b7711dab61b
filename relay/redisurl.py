"""What a URL of Redis says: one server, a Redis Cluster, or the master that Sentinels know. Pure.

redis://[USER:PASSWORD@]HOST:PORT/DB             unix://[USER:PASSWORD@]/PATH?db=DB
redis+cluster://[...@]HOST:PORT,HOST:PORT        any of the nodes tells of all
redis+sentinel://[...@]HOST:PORT,HOST:PORT/MASTER/DB

With TLS it begins with rediss. User and password are those of Redis; those of Sentinels, and all
else that may be said, stand behind a question mark: see `_OPTIONS`. Whatever is not known here is
refused: the library would take it for something, or raise in the midst of a service.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

DEFAULT_PORT = 6379
DEFAULT_SENTINEL_PORT = 26379

# Not by `urlsplit`: it takes brackets for one host's, and knows of no second one.
_PARTS = re.compile(
    r"(?P<scheme>redis(?P<tls>s?)(?:\+(?P<way>cluster|sentinel))?|unix)://"
    r"(?P<place>[^/?#]*)(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?(?P<rest>.*)"
)
_NONE = (
    "is no URL of Redis: write redis://HOST:PORT/DB, redis+cluster://HOST:PORT,HOST:PORT or "
    "redis+sentinel://HOST:PORT,HOST:PORT/MASTER"
)
# Where a password ends too early, the rest of it stands where no @ should be.
_ESCAPES = "; in a user or password write %2F for /, %3F for ? and %23 for #"
_DATABASE = re.compile(r"[0-9]{1,9}")
_NAME = re.compile(r"[a-z_]{1,32}")  # what may be shown of an option that nobody knows
_CLIENT_NAME = re.compile(r"[!-~]{1,128}")
_YES, _NO = ("true", "yes", "1"), ("false", "no", "0")
_REQUIRED = ("required", "optional", "none")


class Way(StrEnum):
    """How Redis is reached."""

    SERVER = ""
    CLUSTER = "cluster"
    SENTINEL = "sentinel"


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedUrl:
    """A URL in its parts.

    Attributes:
        way: How Redis is reached.
        tls: Whether by TLS.
        hosts: Hosts with their ports; of Sentinels, where those are. One at least but for a socket.
        socket: The path of its Unix socket, if it is reached by one.
        master: What Sentinels call it.
        database: The number of the database.
        username: Who asks Redis; None for its default user.
        password: His password.
        options: What else the library is told of each connection, by its names.
        sentinel: The same of connections to Sentinels only.
    """

    way: Way
    tls: bool
    hosts: tuple[tuple[str, int], ...] = ()
    socket: str | None = None
    master: str | None = None
    database: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    sentinel: Mapping[str, Any] = field(default_factory=dict, repr=False)


def parse(url: str) -> ParsedUrl:
    """Take a URL apart.

    Raises:
        ValueError: It is malformed. The text goes on behind the URL, of which it has nothing: there
            may be a password in it.
    """
    parts = _PARTS.fullmatch(url)
    if parts is None or not url.isprintable() or " " in url:
        raise ValueError(_NONE)
    way, tls = Way(parts["way"] or ""), bool(parts["tls"])
    if parts["rest"]:
        raise ValueError(f"has a #{_ESCAPES}")
    credentials, _, hosts = parts["place"].rpartition("@")
    user, _, password = credentials.partition(":")
    where: dict[str, Any]
    if parts["scheme"] == "unix":
        where = _socket(hosts, parts["path"])
    else:
        where = {"hosts": _hosts(hosts, way, parts)}
        where |= _master(parts) if way is Way.SENTINEL else _database(parts["path"], way)
    options = _options(parts["query"] or "", way, tls=tls)
    sentinel = {
        name: options.pop(f"sentinel_{name}")
        for name in ("username", "password")
        if f"sentinel_{name}" in options
    }
    # As the library has it: what stands behind the question mark counts more.
    where["database"] = options.pop("db", where.get("database", 0))
    if way is Way.CLUSTER and where["database"] != 0:
        raise ValueError("names a database: a Redis Cluster has none but 0; leave it away")
    return ParsedUrl(
        way=way,
        tls=tls,
        username=options.pop("username", unquote(user) or None),
        password=options.pop("password", unquote(password) or None),
        options=options,
        sentinel=sentinel,
        **where,
    )


def _socket(hosts: str, path: str) -> dict[str, Any]:
    if hosts or len(path) < 2:
        raise ValueError("names no socket: write unix:///PATH")
    return {"socket": unquote(path)}


def _hosts(hosts: str, way: Way, parts: re.Match[str]) -> tuple[tuple[str, int], ...]:
    """Hosts with their ports, as they stand in a URL."""
    default = DEFAULT_SENTINEL_PORT if way is Way.SENTINEL else DEFAULT_PORT
    several = [hosts] if way is Way.SERVER else hosts.split(",")
    try:
        split = [urlsplit(f"//{each}") for each in several if each]
        found = [(each.hostname, each.port) for each in split]
    except ValueError:  # brackets or a port that are none
        found = [(None, 0)]
    if not found:
        raise ValueError(f"names no host: write {parts['scheme']}://HOST:PORT")
    # Behind a comma there is another host, of which one server has none.
    if any(not host or "," in host or port == 0 for host, port in found):
        behind = parts["path"] + (parts["query"] or "")
        raise ValueError(_NONE + (_ESCAPES if "@" in behind else ""))
    return tuple((unquote(host or ""), port or default) for host, port in found)


def _database(path: str, way: Way) -> dict[str, Any]:
    number = path.strip("/")
    if not number:
        return {}
    if _DATABASE.fullmatch(number) is None:
        hint = "; leave it away" if way is Way.CLUSTER else ": write redis://HOST:PORT/0"
        escapes = _ESCAPES if "@" in path else ""
        raise ValueError(f"has no number of a database behind its host{hint}{escapes}")
    return {"database": int(number)}


def _master(parts: re.Match[str]) -> dict[str, Any]:
    master, slash, database = parts["path"].strip("/").partition("/")
    if not master:
        raise ValueError(f"names no master: write {parts['scheme']}://HOST:PORT/MASTER")
    if slash and _DATABASE.fullmatch(database) is None:
        raise ValueError(
            "has no number of a database behind its master: write "
            f"{parts['scheme']}://HOST:PORT/MASTER/0"
        )
    return {"master": unquote(master), "database": int(database or 0)}


def _text(text: str) -> str:
    if not text:
        raise ValueError("needs a value")
    return text


def _number(text: str) -> int:
    if _DATABASE.fullmatch(text) is None:
        raise ValueError("must be the number of a database")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise ValueError("must be a number of seconds above 0")
    return seconds


def _client_name(text: str) -> str:
    if _CLIENT_NAME.fullmatch(text) is None:
        raise ValueError("must be a name without spaces")
    return text


def _switch(text: str) -> bool:
    if text.lower() not in (*_YES, *_NO):
        raise ValueError("must be true or false")
    return text.lower() in _YES


def _requirement(text: str) -> str:
    if text not in _REQUIRED:
        raise ValueError(f"must be one of {', '.join(_REQUIRED)}")
    return text


_OF_ANY: Mapping[str, Callable[[str], Any]] = {
    "db": _number,
    "username": _text,
    "password": _text,
    "client_name": _client_name,
    "socket_timeout": _seconds,
    "socket_connect_timeout": _seconds,
}
_OF_TLS: Mapping[str, Callable[[str], Any]] = {
    "ssl_ca_certs": _text,
    "ssl_certfile": _text,
    "ssl_keyfile": _text,
    "ssl_check_hostname": _switch,
    "ssl_cert_reqs": _requirement,
}
_OF_SENTINELS: Mapping[str, Callable[[str], Any]] = {
    "sentinel_username": _text,
    "sentinel_password": _text,
}
_OPTIONS = {**_OF_ANY, **_OF_TLS, **_OF_SENTINELS}


def _options(query: str, way: Way, *, tls: bool) -> dict[str, Any]:
    """What stands behind the question mark."""
    found: dict[str, Any] = {}
    for name, text in parse_qsl(query, keep_blank_values=True):
        if name not in _OPTIONS:
            named = f"{name}, which nobody knows" if _NAME.fullmatch(name) else "what nobody knows"
            hint = _ESCAPES if "@" in query else ""
            raise ValueError(f"has {named}, behind its ?: known are {', '.join(_OPTIONS)}{hint}")
        if name in found:
            raise ValueError(f"has {name} twice behind its ?: leave out one")
        if name in _OF_TLS and not tls:
            raise ValueError(f"has {name}, but no TLS: let it begin with rediss in place of redis")
        if name in _OF_SENTINELS and way is not Way.SENTINEL:
            raise ValueError(f"has {name}, but no Sentinels: write redis+sentinel://, or leave it")
        try:
            found[name] = _OPTIONS[name](text)
        except ValueError as error:
            raise ValueError(f"has {name} behind its ?, which {error}") from None
    return found
