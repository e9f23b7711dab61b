"""Several redis-servers as one: Redis Cluster, and a master and its replica under sentinels."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import redis
from redis.cluster import ClusterNode

from signaling.selfsigned import make_certificate
from tests.ports import free_port
from tests.relay.conftest import SERVER

SLOTS = 16384
LIMIT = 30.0  # seconds
DOWN_AFTER = 500  # ms of silence after which a sentinel, or a cluster, takes a master for dead


@dataclass(frozen=True)
class Cluster:
    """A Redis Cluster.

    Attributes:
        url: Of all its nodes.
        masters: The processes of its masters at first, by port.
    """

    url: str
    masters: dict[int, subprocess.Popen[bytes]]

    def client(self) -> redis.RedisCluster:
        """A client of it, by any node that lives."""
        nodes = [
            ClusterNode("127.0.0.1", int(each.rpartition(":")[2]))  # type: ignore[no-untyped-call]
            for each in self.url.split("//")[1].split(",")
        ]
        return redis.RedisCluster(startup_nodes=nodes)

    def master_of(self, key: str) -> subprocess.Popen[bytes]:
        """The master that has had a key at first."""
        port = self.client().get_node_from_key(key).port  # type: ignore[no-untyped-call]
        return self.masters[port]


@contextmanager
def _process(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


def _until(condition: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + LIMIT
    while True:
        try:
            if condition():
                return
        except redis.RedisError:
            pass
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def _ask(node: redis.Redis, *command: str | int) -> Any:
    return node.execute_command(*command)  # type: ignore[no-untyped-call]


def _server(stack: ExitStack, directory: Path, port: int, *options: str) -> subprocess.Popen[bytes]:
    place = directory / str(port)
    place.mkdir()
    process = stack.enter_context(
        _process(
            *(SERVER, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(place)),
            *("--save", "", "--appendonly", "no", *options),
        )
    )
    _until(lambda: redis.Redis(port=port).ping(), "redis-server does not answer")
    return process


@contextmanager
def redis_cluster(directory: Path) -> Iterator[str]:
    """Three masters that share the slots; the URL of one of them."""
    with ExitStack() as stack:
        masters = _masters(stack, directory)
        yield f"redis+cluster://127.0.0.1:{list(masters)[1]}"


@contextmanager
def replicated_cluster(directory: Path) -> Iterator[Cluster]:
    """Three masters that share the slots, and a replica of each, which takes over when it dies."""
    with ExitStack() as stack:
        masters = _masters(stack, directory)
        replicas = []
        for master in masters:
            node = redis.Redis(port=master)
            replicas.append(free_port())
            _member(stack, directory, replicas[-1], "--cluster-node-timeout", str(DOWN_AFTER))
            replica = redis.Redis(port=replicas[-1])
            _ask(replica, "CLUSTER", "MEET", "127.0.0.1", master, _bus(node))
            identity = _ask(node, "CLUSTER", "MYID")
            _until(
                lambda replica=replica, identity=identity: _ask(  # type: ignore[misc]
                    replica, "CLUSTER", "REPLICATE", identity
                ),
                "a replica does not know its master",
            )
        for port in (*masters, *replicas):
            _until(lambda port=port: _whole(port, 6), "the cluster does not form")  # type: ignore[misc]
        for port in replicas:
            told = redis.Redis(port=port)
            _until(
                lambda told=told: told.info("replication")["master_link_status"] == "up",  # type: ignore[misc]
                "a replica does not follow",
            )
        hosts = ",".join(f"127.0.0.1:{port}" for port in (*masters, *replicas))
        yield Cluster(f"redis+cluster://{hosts}", masters)


def _masters(stack: ExitStack, directory: Path) -> dict[int, subprocess.Popen[bytes]]:
    ports = [free_port() for _ in range(3)]
    masters = {
        port: _member(stack, directory, port, "--cluster-node-timeout", str(DOWN_AFTER))
        for port in ports
    }
    nodes = [redis.Redis(port=port) for port in ports]
    share = -(-SLOTS // 3)
    for number, node in enumerate(nodes):
        last = min(SLOTS, (number + 1) * share) - 1
        _ask(node, "CLUSTER", "ADDSLOTSRANGE", number * share, last)
        _ask(node, "CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        _ask(node, "CLUSTER", "MEET", "127.0.0.1", ports[0], _bus(nodes[0]))
    for port in ports:
        _until(lambda port=port: _whole(port, 3), "the cluster does not form")  # type: ignore[misc]
    return masters


def _member(stack: ExitStack, directory: Path, port: int, *options: str) -> subprocess.Popen[bytes]:
    bus = str(free_port())
    return _server(
        stack, directory, port, "--cluster-enabled", "yes", "--cluster-port", bus, *options
    )


def _bus(node: redis.Redis) -> int:
    return int(node.config_get("cluster-port")["cluster-port"] or 0)


def _whole(port: int, nodes: int) -> bool:
    told = _ask(redis.Redis(port=port), "CLUSTER", "INFO").split()
    return {b"cluster_state:ok", b"cluster_known_nodes:%d" % nodes} <= set(told)


@dataclass(frozen=True)
class LockedSentinel:
    """A Sentinel that wants a password; it knows of two masters, `calls`, and `secured` by TLS.

    Its password is `of-sentinel`, that of both masters `of-master`. Its user `asks` may ask it for
    masters, and `nobody` for nothing; each has his name for a password.

    Attributes:
        port: Its port, without TLS.
        tls_port: The other one.
        certificate: Of all three of them, for 127.0.0.1.
    """

    port: int
    tls_port: int
    certificate: Path


@contextmanager
def redis_locked_sentinel(directory: Path) -> Iterator[LockedSentinel]:
    """Such a Sentinel with its masters."""
    pem = directory / "pem"
    pem.write_bytes(make_certificate(["127.0.0.1"], datetime.now(UTC)))
    tls = [f"tls-cert-file {pem}", f"tls-key-file {pem}", "tls-auth-clients no"]
    here = ["bind 127.0.0.1", f"dir {directory}", 'save ""']
    port, tls_port, calls, secured = (free_port() for _ in range(4))
    configs = {
        "calls": [*here, f"port {calls}", "requirepass of-master"],
        "secured": [*here, "port 0", f"tls-port {secured}", *tls, "requirepass of-master"],
        "sentinel": [*here[:2], f"port {port}", f"tls-port {tls_port}", *tls],
    }
    configs["sentinel"] += [
        "requirepass of-sentinel",
        "user asks on >asks +sentinel +client +hello",
        "user nobody on >nobody +client +hello",
        f"sentinel monitor calls 127.0.0.1 {calls} 1",
        f"sentinel monitor secured 127.0.0.1 {secured} 1",
    ]
    for name in ("calls", "secured"):
        configs["sentinel"] += [
            f"sentinel auth-pass {name} of-master",
            # It asks either by TLS or not, so that it cannot reach one of them.
            f"sentinel down-after-milliseconds {name} 3600000",
        ]
    with ExitStack() as stack:
        for name, lines in configs.items():
            path = directory / f"{name}.conf"
            path.write_text("\n".join(lines))
            own = ["--sentinel"] if name == "sentinel" else []
            stack.enter_context(_process(SERVER, str(path), *own))
        ask = {"ssl": True, "ssl_ca_certs": str(pem)}
        for client in (
            redis.Redis(port=port, password="of-sentinel"),
            redis.Redis(port=calls, password="of-master"),
            redis.Redis("127.0.0.1", secured, password="of-master", **ask),  # type: ignore[arg-type]
        ):
            _until(client.ping, "redis-server does not answer")
        yield LockedSentinel(port, tls_port, pem)


@contextmanager
def redis_sentinels(
    directory: Path,
) -> Iterator[tuple[str, subprocess.Popen[bytes], redis.Redis]]:
    """A master, its replica and three sentinels: URL, its process, a client of who is one."""
    with ExitStack() as stack:
        master, replica = free_port(), free_port()
        process = _server(stack, directory, master)
        _server(stack, directory, replica, "--replicaof", "127.0.0.1", str(master))
        following = redis.Redis(port=replica)
        _until(lambda: following.info("replication")["master_link_status"] == "up", "no replica")
        sentinels = [free_port() for _ in range(3)]
        for port in sentinels:
            config = directory / f"{port}.conf"
            config.write_text(
                f"port {port}\nbind 127.0.0.1\ndir {directory}\n"
                f"sentinel monitor calls 127.0.0.1 {master} 2\n"
                f"sentinel down-after-milliseconds calls {DOWN_AFTER}\n"
                "sentinel failover-timeout calls 3000\n"
            )
            stack.enter_context(_process(SERVER, str(config), "--sentinel"))
        for port in sentinels:
            told = redis.Redis(port=port)
            _until(
                lambda told=told: (  # type: ignore[misc]
                    (state := told.sentinel_master("calls"))["num-other-sentinels"] == 2
                    and state["num-slaves"] == 1
                ),
                "the sentinels do not find each other",
            )
        hosts = ",".join(f"127.0.0.1:{port}" for port in sentinels)
        watchers = redis.Sentinel([("127.0.0.1", each) for each in sentinels])  # type: ignore[no-untyped-call]
        followed = watchers.master_for("calls")  # type: ignore[no-untyped-call]
        yield f"redis+sentinel://{hosts}/calls/0", process, followed
