"""A client of Redis from a URL: see `relay.redisurl`."""

import asyncio
import socket
import ssl
from collections.abc import Iterable, Iterator
from typing import Any, cast

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

from relay.redisurl import DEFAULT_PORT, ParsedUrl, Way, parse

Client = Redis | RedisCluster
Pipe = Pipeline | ClusterPipeline

#: What a client raises when Redis cannot be asked, or refuses. A cluster of which no node answers
#: raises what is no `RedisError`.
FAILURES = (RedisError, RedisClusterException, OSError)


def connect(url: str, timeout: float, *, check_every: float = 0.0) -> Client:
    """A client that connects when it is first used.

    Args:
        url: See `relay.redisurl`.
        timeout: Seconds for a connection, and for an answer.
        check_every: How often it is looked whether a connection that only listens lives, in
            seconds; 0: never.

    Raises:
        ValueError: The URL is malformed.
    """
    try:
        parsed = parse(url)
    except ValueError as error:  # without the URL: there may be a password in it
        raise ValueError(f"the URL {error}") from None
    options: dict[str, Any] = {
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        "health_check_interval": check_every,
        "protocol": 2,
        "ssl": parsed.tls,
        "username": parsed.username,
        "password": parsed.password,
        **parsed.options,
    }
    if parsed.way is Way.CLUSTER:
        return _cluster(parsed, options)
    if parsed.way is Way.SENTINEL:
        return _sentinel(parsed, options)
    host, port = parsed.hosts[0] if parsed.hosts else ("", DEFAULT_PORT)
    # Whoever asks has his own ways to wait and try again.
    return Redis(
        host=host,
        port=port,
        unix_socket_path=parsed.socket,
        db=parsed.database,
        retry=Retry(NoBackoff(), 0),
        **options,
    )


def _cluster(parsed: ParsedUrl, options: dict[str, Any]) -> RedisCluster:
    nodes = [ClusterNode(*each) for each in parsed.hosts]
    # A second try comes after another look at who is in the cluster.
    return RedisCluster(startup_nodes=nodes, retry=Retry(NoBackoff(), 1), **options)


def _sentinel(parsed: ParsedUrl, options: dict[str, Any]) -> Redis:
    # All but who asks: a master has users and passwords of its own.
    ways = {name: options[name] for name in options.keys() - {"username", "password"}}
    ways |= parsed.sentinel
    # Once more for a connection that has ended; the library's own pauses are longer than an answer.
    ways["retry"] = Retry(NoBackoff(), 1)
    sentinels = _Sentinels(parsed.hosts, sentinel_kwargs=ways)  # type: ignore[no-untyped-call]
    client: Redis = sentinels.master_for(parsed.master or "", db=parsed.database, **options)
    return client


class _Sentinels(Sentinel):
    """The library's, but for what is raised where none can be asked: it comes of why not."""

    async def discover_master(self, service_name: str) -> tuple[str, int]:
        """Ask them for the address of a master.

        Raises:
            MasterNotFoundError: None that answers knows it; where none answers, with the cause.
        """
        failed: list[RedisError] = []
        for each in self.sentinels:
            try:
                masters = cast("dict[str, Any]", await each.sentinel_masters())
            except (RedisConnectionError, RedisTimeoutError) as error:
                failed.append(error)
                continue
            state = masters.get(service_name)
            if state and self.check_master_state(state, service_name):
                # Who has answered is asked first from now on.
                self.sentinels.sort(key=lambda one: one is not each)
                return state["ip"], state["port"]
        cause = failed[0] if len(failed) == len(self.sentinels) else None
        raise MasterNotFoundError(f"no master found for {service_name!r}") from cause


#: What is said of one that does not answer in time.
SILENT = "it does not answer"
# Whatever is done with Redis, by the mirror and by the registry.
_NEEDED = (
    "its user needs the commands FCALL, GET, SET, DEL, PEXPIRE, PUBLISH, SCAN, SUBSCRIBE and TIME "
    "on icelane:*, and FUNCTION LOAD where the functions are not loaded yet"
)
_NO_SENTINEL = "no Sentinel answers that knows a master of that name"
_NO_MASTER = (
    f"{_NO_SENTINEL}: `redis-cli -p 26379 sentinel masters` tells their names; correct hosts or "
    "name in the URL"
)
_SENTINEL_REFUSES = (
    "its Sentinels refuse who asks them: write ?sentinel_password=PASSWORD behind the URL, and "
    "&sentinel_username=USER where they have users; what stands before @ is for Redis itself"
)
_SENTINEL_FORBIDS = "its Sentinels do not permit it: {}; who asks them needs the command SENTINEL"
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
    if (words := _of_sentinels(_causes(error))) is not None:
        return words
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
    for kind, words in _BY_CAUSE:
        if any(isinstance(each, kind) for each in causes):
            return words
    if "Cluster mode is not enabled" in text or "cluster support disabled" in text:
        return f"it is no Redis Cluster: {text}; write redis:// in place of redis+cluster://"
    if isinstance(error, RedisConnectionError) and any(each in text for each in _ENDED):
        return (
            f"it has ended the connection: {text}; one that always does may want TLS (write "
            "rediss://), or be in protected mode (give it a password: requirepass)"
        )
    if text.startswith("The user executing the script"):
        return f"it does not permit it: {text}; {_NEEDED}"
    return None


def _of_sentinels(causes: Iterable[BaseException]) -> str | None:
    """Why Sentinels do not tell who is the master, if it is that."""
    for each in causes:
        text = str(each).removesuffix(".")
        if isinstance(each, MasterNotFoundError):
            if each.__cause__ is None:
                return _NO_MASTER
            if isinstance(each.__cause__, AuthenticationError):
                return _SENTINEL_REFUSES
            return f"{_NO_SENTINEL}: {in_words(cast('RedisError', each.__cause__))}"
        if isinstance(each, NoPermissionError) and "'sentinel" in text.lower():
            return _SENTINEL_FORBIDS.format(text)
        if text.startswith("unknown command 'SENTINEL'"):
            return "it is no Sentinel: write redis://, or the port of the Sentinels (26379)"
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
