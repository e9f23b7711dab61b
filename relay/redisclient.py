"""A client of Redis from a URL: one server, Redis Cluster, or whatever Sentinel says is the master.

redis://[USER:PASSWORD@]HOST:PORT/DB      rediss:// with TLS, unix:///PATH
redis+cluster://HOST:PORT,HOST:PORT       rediss+cluster:// with TLS; any of the nodes tells of all
redis+sentinel://HOST:PORT,HOST:PORT/MASTER/DB
"""

import asyncio
import socket
import ssl
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.client import Pipeline
from redis.asyncio.cluster import ClusterNode, ClusterPipeline
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import MasterNotFoundError, Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

Client = Redis | RedisCluster
Pipe = Pipeline | ClusterPipeline

#: What a client raises when Redis cannot be asked, or refuses. A cluster of which no node answers
#: raises what is no `RedisError`.
FAILURES = (RedisError, RedisClusterException, OSError)

_DEFAULT_PORT = 6379
_DEFAULT_SENTINEL_PORT = 26379


def connect(url: str, timeout: float, *, check_every: float = 0.0) -> Client:
    """A client that connects when it is first used.

    Args:
        url: See above.
        timeout: Seconds for a connection, and for an answer.
        check_every: How often it is looked whether a connection that only listens lives, in
            seconds; 0: never.

    Raises:
        ValueError: The URL is malformed.
    """
    options: dict[str, Any] = {
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        "health_check_interval": check_every,
        "protocol": 2,
    }
    scheme = url.partition("://")[0]
    kind, _, way = scheme.partition("+")
    if way == "cluster":
        return _cluster(url, kind, options)
    if way == "sentinel":
        return _sentinel(url, options)
    # Whoever asks has his own ways to wait and try again.
    return Redis.from_url(url, retry=Retry(NoBackoff(), 0), **options)


def _cluster(url: str, kind: str, options: dict[str, Any]) -> RedisCluster:
    parts = urlsplit(url)
    credentials, at, hosts = parts.netloc.rpartition("@")
    first, _, others = hosts.partition(",")
    nodes = [ClusterNode(*each) for each in _addresses(others, _DEFAULT_PORT)]
    # A second try comes after another look at who is in the cluster.
    retry = Retry(NoBackoff(), 1)
    one = parts._replace(scheme=kind, netloc=f"{credentials}{at}{first}").geturl()
    return RedisCluster.from_url(one, startup_nodes=nodes, retry=retry, **options)


def _addresses(hosts: str, port: int) -> list[tuple[str, int]]:
    """Hosts with their ports, as they stand in a URL."""
    split = [urlsplit(f"//{each}") for each in hosts.split(",") if each]
    return [(each.hostname or "", each.port or port) for each in split]


def _sentinel(url: str, options: dict[str, Any]) -> Redis:
    parts = urlsplit(url)
    credentials, _, hosts = parts.netloc.rpartition("@")
    user, _, password = credentials.partition(":")
    master, _, database = parts.path.strip("/").partition("/")
    if not master:
        # Without the URL: there may be a password in it.
        raise ValueError("the URL names no master: write redis+sentinel://HOST:PORT/MASTER")
    if credentials:
        options |= {"username": unquote(user) or None, "password": unquote(password)}
    addresses = _addresses(hosts, _DEFAULT_SENTINEL_PORT)
    ways = {name: options[name] for name in ("socket_timeout", "socket_connect_timeout")}
    # Once more for a connection that has ended; the library's own pauses are longer than an answer.
    ways["retry"] = Retry(NoBackoff(), 1)
    sentinel = Sentinel(addresses, sentinel_kwargs=ways)  # type: ignore[no-untyped-call]
    client: Redis = sentinel.master_for(master, db=int(database or 0), **options)
    return client


#: What is said of one that does not answer in time.
SILENT = "it does not answer"
# Whatever is done with Redis, by the mirror and by the registry.
_NEEDED = (
    "its user needs the commands FCALL, GET, SET, DEL, PEXPIRE, PUBLISH, SCAN, SUBSCRIBE and TIME "
    "on icelane:*, and FUNCTION LOAD where the functions are not loaded yet"
)
_NO_MASTER = (
    "no Sentinel answers that knows a master of that name: `redis-cli -p 26379 sentinel masters` "
    "tells their names; correct hosts or name in the URL"
)
# What is raised, the first that fits, and what an operator is told; {} is its text.
_BY_CLASS: tuple[tuple[type[Exception], str], ...] = (
    (RedisTimeoutError, SILENT),
    (TimeoutError, SILENT),
    (BusyLoadingError, "it still loads its data"),
    (
        AuthenticationError,
        "it refuses the user or password of the URL: {}; write redis://USER:PASSWORD@HOST:PORT",
    ),
    (NoPermissionError, f"it does not permit it: {{}}; {_NEEDED}"),
    (OutOfMemoryError, "it is full, and takes nothing new: raise its maxmemory"),
    (ReadOnlyError, "it is a replica: name the master, or all of them by redis+sentinel://"),
    (RedisConnectionError, "it cannot be reached: {}"),
    (OSError, "it cannot be reached: {}"),
)
# The same of what kept the library from connecting.
_BY_CAUSE: tuple[tuple[type[Exception], str], ...] = (
    (
        ssl.SSLCertVerificationError,
        "its certificate is not trusted here: name its CA by ?ssl_ca_certs=FILE in the URL",
    ),
    (ssl.SSLError, "it speaks no TLS: write redis:// in place of rediss://"),
    (socket.gaierror, "its name is not found: correct the host in the URL, or DNS"),
    (ConnectionRefusedError, "nobody listens there: start it, or correct its host and port"),
)
_ENDED = ("Connection reset", "Connection lost", "Connection closed", "Broken pipe")
_BY_CODE = {
    "MISCONF": "it takes no writes, for it cannot save to its disk (MISCONF)",
    "NOREPLICAS": "it takes no writes, for it lacks replicas (min-replicas-to-write)",
}


def in_words(error: Exception) -> str:
    """Why Redis cannot be asked, or refuses: for an operator, with what he can do."""
    if isinstance(error, RedisConnectionError) and isinstance(error.__cause__, RedisError):
        error = error.__cause__  # such as a wrong password, refused while the library connects
    text = str(error).removesuffix(".") or type(error).__name__
    if (unreached := _unreached(error, text)) is not None:
        return unreached
    by_class = (words.format(text) for kind, words in _BY_CLASS if isinstance(error, kind))
    return next(by_class, _BY_CODE.get(text.partition(" ")[0], text))


def _unreached(error: Exception, text: str) -> str | None:
    """Why there is no connection, as far as what is below the library's error tells."""
    causes = list(_causes(error))
    for kind, words in ((MasterNotFoundError, _NO_MASTER), *_BY_CAUSE):
        if any(isinstance(each, kind) for each in causes):
            return words
    if "Cluster mode is not enabled" in text or "cluster support disabled" in text:
        return f"it is no Redis Cluster: {text}; write redis:// in place of redis+cluster://"
    if text.startswith("unknown command 'SENTINEL'"):
        return "it is no Sentinel: write redis://, or the port of the Sentinels (26379)"
    if isinstance(error, RedisConnectionError) and any(each in text for each in _ENDED):
        return (
            f"it has ended the connection: {text}; one that always does may want TLS (write "
            "rediss://), or be in protected mode (give it a password: requirepass)"
        )
    if text.startswith("The user executing the script"):
        return f"it does not permit it: {text}; {_NEEDED}"
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and what it came of."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def is_elsewhere(answer: object) -> bool:
    """Whether what answers is a master no more: who connects anew may find another one."""
    if isinstance(answer, ReadOnlyError):
        return True
    return isinstance(answer, RedisError) and str(answer).startswith("NOREPLICAS")


def require_wanted() -> None:
    """Raise the cancellation that the library has lost, after each use of a client.

    It connects by asyncio.wait_for, which before Python 3.12 forgets one that comes when what it
    waits for ends at that moment; whoever cancelled would wait for ever.

    Raises:
        CancelledError: The task is to end.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
