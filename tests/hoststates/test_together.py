"""Limits, and two at once."""

from pathlib import Path

import pytest

from tests.hoststates import host
from tests.hoststates.conftest import Says
from tests.hoststates.matrix import state
from tests.hoststates.test_files import venv

pytestmark = [pytest.mark.bpf, pytest.mark.netns]


@pytest.mark.parametrize(
    "soft",
    [
        pytest.param(1024, marks=state("a soft limit of 1,024 open files", "works: it is raised")),
        pytest.param(64, marks=state("a soft limit of 64 open files", "works: it is raised")),
    ],
)
def test_a_soft_limit(soft: int, instance: str, tmp_path: Path) -> None:
    limits = "grep -h 'open files' /proc/$SERVER/limits >$LOG.limits"
    ended = host.up(instance, tmp_path, wrapper=f"prlimit --nofile={soft}:5000", meanwhile=limits)
    assert host.served_a_call(ended), ended
    assert (tmp_path / "log.limits").read_text(encoding="utf-8").split()[3:5] == ["5000", "5000"]


@state(
    "a hard limit of 64 open files",
    "works for a call",
    "only 64 files may be open at once (the hard limit), which bounds the number of calls: raise "
    "it, such as with LimitNOFILE=65536 in a unit or `ulimit -n 65536` as root",
)
def test_a_hard_limit(instance: str, tmp_path: Path, says: Says) -> None:
    ended = host.up(instance, tmp_path, wrapper="prlimit --nofile=64:64")
    assert host.served_a_call(ended), ended
    says(ended.text)


@state(
    "two demos at once",
    "the second ends",
    "A demo is already running on this machine; wait for its end.",
)
def test_two_demos(says: Says) -> None:
    held = "exec 8>/run/icelane/demo.lock; flock 8"
    ended = host.run(f"{host.NO_LABS}\n{held}\n{host.LAB} demo", namespaces=host.OWN_LABS)
    assert ended.code == 1
    says(ended.text)


@state(
    "two `icelane up` at once",
    "the second ends, and the first goes on",
    "another agent runs as this instance (it answers at …): stop it, or choose another --instance",
)
def test_two_up(instance: str, tmp_path: Path, says: Says) -> None:
    second = "$UP --vip 127.0.0.1:3479 --listen 127.0.0.1:8081 >$LOG.second 2>&1"
    ended = host.up(
        instance, tmp_path, meanwhile=second, options="--dataplane xdp --interface public"
    )
    says((tmp_path / "log.second").read_text(encoding="utf-8"))
    assert ended.ready
    assert ended.report is not None
    assert ended.report["error"] is None


@state("two `icelane relay build` at once", "both work")
def test_two_builds() -> None:
    build = f"{host.ICELANE} relay build"
    ended = host.run(f"{host.NO_OBJECT}\n{build} & {build}; A=$?; wait $!; echo $A $?")
    assert ended.lines[-1] == "0 0", ended.text
    assert ended.text.count("compiled now") == 2


@state("two `make setup` at once", "the second waits for the first, and finds it done")
def test_two_set_ups(tmp_path: Path) -> None:
    python = tmp_path / "python"
    make = venv(tmp_path / "venv", python, seconds=0.5)
    ended = host.run(f"{make} & {make}; A=$?; wait $!; echo $A $?", namespaces=())
    assert ended.lines[-1] == "0 0", ended.text
    assert "Waiting for another make" in ended.text
    assert Path(f"{python}.record").read_text(encoding="utf-8").split() == ["venv", "pip"]
