"""Redis at a site: alone, or several masters of Redis Cluster."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from relay.netns.host import Host
from relay.wire.endpoint import Endpoint
from tests.lab.errors import LabError
from tests.lab.fleet import priorities
from tests.lab.service import Service


def endpoints(first: Endpoint, count: int) -> Sequence[Endpoint]:
    """Where so many are: at one address, with successive ports."""
    return [first._replace(port=first.port + number) for number in range(count)]


def url(shards: Sequence[Endpoint]) -> str:
    """What a relay is given as `redis`."""
    if len(shards) == 1:
        return f"redis://{shards[0]}/0"
    return "redis+cluster://" + ",".join(map(str, shards))


def services(host: str, shards: Sequence[Endpoint], directory: Path) -> Sequence[Service]:
    """A server for each; several have to be joined once they run."""
    return [_service(host, shard, directory, cluster=len(shards) > 1) for shard in shards]


def join(host: Host, shards: Sequence[Endpoint]) -> None:
    """Make a cluster of them, if there are several.

    Raises:
        LabError: It does not form.
    """
    if len(shards) == 1:
        return
    create = ("redis-cli", "--cluster", "create", *map(str, shards), "--cluster-yes")
    done = subprocess.run(host.command(create), check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise LabError(f"The cluster of Redis does not form: {done.stdout}{done.stderr}")


def _service(host: str, shard: Endpoint, directory: Path, *, cluster: bool) -> Service:
    command = (
        *priorities.prefix(),
        *("redis-server", "--bind", shard.host, "--port", str(shard.port)),
        *("--protected-mode", "no", "--save", "", "--appendonly", "no"),
        *("--dir", str(directory)),
    )
    if cluster:
        files = f"nodes-{shard.port}.conf"
        command = (*command, "--cluster-enabled", "yes", "--cluster-config-file", files)
    return Service(f"redis-{shard.port}", host, command, ready="Ready to accept connections")
