"""Files: temporary ones, the checkout, and what is installed."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hoststates import host
from tests.hoststates.conftest import Says
from tests.hoststates.matrix import state

pytestmark = [pytest.mark.bpf, pytest.mark.netns]

# Builds from a checkout that is the working directory, whose modules come before installed ones.
BUILD = f"PYTHONPATH=$PWD {sys.executable} -c 'from relay.cli.main import main; main()' relay build"


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Path]:
    """A copy of the checkout in a path with a space, without .git and without an object."""
    copy = tmp_path / "a checkout"
    parts = ("relay", "bpf", "Makefile", "pyproject.toml", ".ci", "README.md", "LICENSE")
    copied = host.run(
        'mkdir "$1"; shift; cp -r "${@:2}" "$1"; rm -f "$1"/bpf/relay.bpf.json; '
        'find "$1" -name __pycache__ -prune -exec rm -r {} +',
        *(copy, copy, *parts),
        namespaces=(),
    )
    assert copied.code == 0, copied.text
    yield copy
    assert (copy / "relay").exists()


@state("`/tmp` is small (4 KB) and noexec", "works: nothing of ours is large there")
def test_small_tmp(instance: str, tmp_path: Path) -> None:
    # What the test needs stays, wherever it is: its own directory, and a checkout below /tmp.
    kept = [path for path in (tmp_path, host.ROOT) if path.is_relative_to("/tmp")]  # noqa: S108  # it is what the test hides
    keep = "; ".join(
        ["mount -t tmpfs none /mnt"]
        + [f"mkdir /mnt/{n}; mount --bind '{path}' /mnt/{n}" for n, path in enumerate(kept)]
    )
    small = "mount -t tmpfs -o size=4k,noexec none /tmp"
    again = "; ".join(
        f"mkdir -p '{path}'; mount --bind /mnt/{n} '{path}'" for n, path in enumerate(kept)
    )
    prepare = f"{keep}; {small}; {again}; {host.NO_OBJECT}"
    ended = host.relay(instance, tmp_path, prepare=prepare)
    assert ended.ready
    assert "compiled now" in ended.text


@pytest.mark.parametrize(
    "directory",
    [
        pytest.param("/run", marks=state("`TMPDIR` is elsewhere", "works")),
        pytest.param("/nonexistent", marks=state("`TMPDIR` does not exist", "works")),
    ],
)
def test_tmpdir(directory: str, instance: str, tmp_path: Path) -> None:
    prepare = f"{host.NO_OBJECT}; export TMPDIR={directory}"
    assert host.relay(instance, tmp_path, prepare=prepare).ready
    fake = venv(tmp_path / "venv", tmp_path / "python")
    made = host.run(f"{prepare}; {fake}")
    assert made.code == 0, made.text


@state("a checkout in a path with a space, without `.git`", "works")
def test_space_and_no_git(checkout: Path) -> None:
    built = host.run(f'cd "$1"; {BUILD}', checkout)
    assert built.code == 0, built.text
    assert f"kept in {checkout}/bpf/relay.bpf.json" in built.text
    made = host.run(
        venv(Path(".venv"), checkout / "python"), namespaces=("env", "-C", str(checkout))
    )
    assert made.code == 0, made.text
    assert (checkout / ".venv" / ".runtime").exists()


@state("a checkout of another user", "works as root")
def test_other_owner(checkout: Path) -> None:
    built = host.run(f'chown -R 65534 "$1"; cd "$1"; {BUILD}; {BUILD} --if-missing', checkout)
    assert built.code == 0, built.text
    assert built.text.count("compiled now") == 1


@state(
    "a read-only checkout",
    "the program is kept in `/var/cache/icelane`; `make` ends",
    "This directory cannot be written; name another for what is installed: make setup "
    "VENV=/var/tmp/icelane",
)
def test_read_only(checkout: Path, says: Says) -> None:
    read_only = (
        'mount -t tmpfs none /var/cache; mount --bind "$1" "$1"; '
        'mount -o remount,ro,bind "$1"; cd "$1"'
    )
    built = host.run(f"{read_only}; {BUILD}", checkout)
    assert "kept in /var/cache/icelane/" in built.text
    made = host.run(f"{read_only}; make setup", checkout)
    assert made.code == 2
    says(made.lines[0])


@state(
    "no room in `/run`", "a lab ends", "The lab cannot be made: [Errno 28] No space left on device"
)
def test_no_room_in_run(says: Says, instance: str) -> None:
    full = "mkdir -p /run/icelane; mount -t tmpfs -o size=4k none /run/icelane"
    fill = "head -c 4096 /dev/zero >/run/icelane/full"
    ended = host.lab_up_and_down(f"hs-{instance}", prepare=f"{full}; {fill}")
    assert ended.code == 1
    says(ended.text)


FAKE_DPKG = """
mkdir $1/bin; PATH=$1/bin:$PATH
for each in dpkg-query apt-get id; do ln -s $1/fake $1/bin/$each; done
cat >$1/fake <<'EOF'
#!/bin/bash
case $(basename $0) in
dpkg-query) test ${@: -1} != redis-server && echo installed;;
apt-get) echo apt-get "$@" >>$RECORD;;
id) echo $FAKE_USER;;
esac
EOF
chmod +x $1/fake
make packages
"""


@state("half of the packages are installed", "`make` as root installs the others")
def test_half_of_the_packages(tmp_path: Path) -> None:
    record = tmp_path / "record"
    ended = host.run(FAKE_DPKG, tmp_path, environment={"RECORD": str(record), "FAKE_USER": "0"})
    assert (ended.code, ended.text) == (0, "Installing redis-server\n")
    installed = record.read_text(encoding="utf-8").splitlines()[-1].split()
    assert installed[-1] == "redis-server"
    assert "python3-venv" not in installed


@state(
    "the same as another user",
    "`make` ends",
    "These packages are missing; run as root: apt-get install redis-server",
)
def test_half_of_the_packages_as_another_user(tmp_path: Path, says: Says) -> None:
    ended = host.run(FAKE_DPKG, tmp_path, environment={"RECORD": "/dev/null", "FAKE_USER": "1000"})
    assert ended.code == 2
    says(ended.lines[0])


def venv(directory: Path, python: Path, seconds: float = 0.0) -> str:
    """A script that makes the virtual environment, with an interpreter that only records.

    Args:
        directory: The virtual environment.
        python: Where the interpreter is put; it notes what it does in ``python.record``.
        seconds: How long installing takes.
    """
    python.write_text(
        f"""#!/bin/bash
echo $2 >>"{python}.record"
test -d "$TMPDIR" -o -z "$TMPDIR" -o $2 = venv || exit 9
if [ $2 = venv ]; then mkdir -p "${{@: -1}}/bin" && cp "{python}" "${{@: -1}}/bin/python"; fi
test $2 = venv || exec sleep {seconds}
""",
        encoding="utf-8",
    )
    python.chmod(0o755)
    target = f"{directory}/.runtime"
    return f"make {target} VENV={directory} PYTHON=\"'{python}'\""
