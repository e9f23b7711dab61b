"""Who runs it, and with which capabilities."""

from pathlib import Path

import pytest

from tests.hoststates import host
from tests.hoststates.conftest import Says
from tests.hoststates.matrix import state

pytestmark = [pytest.mark.bpf, pytest.mark.netns]

LACKS = (
    "The XDP dataplane needs {}, which this process lacks though it is root: give it to the "
    "container (--cap-add) or service (CapabilityBoundingSet), or run with --dataplane userspace."
)


def without(*names: str) -> str:
    return "setpriv --bounding-set=" + ",".join(f"-{name}" for name in names)


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(["sys_resource"], marks=state("root without CAP_SYS_RESOURCE", "works")),
        pytest.param(
            ["bpf", "perfmon"],
            marks=state("root without CAP_BPF and CAP_PERFMON", "works: CAP_SYS_ADMIN has them"),
        ),
        pytest.param(
            ["net_admin"],
            marks=state("root without CAP_NET_ADMIN", "`relay run` works: CAP_SYS_ADMIN is enough"),
        ),
    ],
)
def test_not_needed(names: list[str], instance: str, tmp_path: Path) -> None:
    # As a relay before it has left the host; only CAP_NET_ADMIN may switch that on.
    prepare = "for v in 4 6; do echo 1 > /proc/sys/net/ipv$v/conf/lo/forwarding; done"
    assert host.relay(instance, tmp_path, prepare=prepare, wrapper=without(*names)).ready


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(
            ["sys_admin"],
            marks=state(
                "root without CAP_SYS_ADMIN (a container)",
                "`--dataplane xdp` ends, `auto` forwards in userspace",
                LACKS.format("CAP_SYS_ADMIN"),
            ),
        ),
        pytest.param(
            ["sys_admin", "net_raw"],
            marks=state(
                "root without CAP_SYS_ADMIN and CAP_NET_RAW",
                "the same",
                LACKS.format("CAP_SYS_ADMIN and CAP_NET_RAW"),
            ),
        ),
    ],
)
def test_needed(names: list[str], instance: str, tmp_path: Path, says: Says) -> None:
    ended = host.relay(instance, tmp_path, wrapper=without(*names))
    assert ended.code == 1
    says(ended.lines[-1])
    auto = host.relay(instance, tmp_path, wrapper=without(*names), dataplane="auto")
    assert auto.ready
    says(auto.text)


@state(
    "`icelane up --dataplane xdp` without CAP_NET_ADMIN",
    "ends, and nothing of its network is left",
    "The transceiver's network could not be made: … This process lacks CAP_NET_ADMIN though it is "
    "root: give it that.",
)
def test_up_without_net_admin(instance: str, tmp_path: Path, says: Says) -> None:
    options = "--dataplane xdp --interface public"
    ended = host.up(instance, tmp_path, wrapper=without("net_admin"), options=options)
    assert ended.code == 1
    says(ended.lines[-1])
    assert not Path(f"/run/netns/icelane-transceiver-{instance}").exists()


@state("`icelane up` as another user, or without any capability", "works, in userspace")
def test_up_without_capabilities(instance: str, tmp_path: Path) -> None:
    ended = host.up(instance, tmp_path, wrapper=f"{without('all')} --inh-caps=-all")
    assert host.served_a_call(ended), ended


@state(
    "root of a user namespace (a rootless container)",
    "`--dataplane xdp` ends, `auto` forwards in userspace",
    "The XDP dataplane needs the host's root, and this process is root of a user namespace only (a "
    "rootless container): run it as root of the host, or with --dataplane userspace.",
)
def test_root_of_a_user_namespace(instance: str, tmp_path: Path, says: Says) -> None:
    ended = host.relay(instance, tmp_path, wrapper="unshare --user --map-root-user")
    assert ended.code == 1
    says(ended.lines[-1])
