"""A host in a state: namespaces of a test's own, where a script makes it, and what runs there."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relay.dataplane.kernel import sources

ROOT = Path(__file__).parents[2]
ICELANE = Path(sys.executable).with_name("icelane")
LIMIT = 90.0  # seconds for all that a test runs; it takes a few
# A network and mounts of the host's own; a file system that is mounted there goes with it.
OWN = ("unshare", "--net", "--mount", "--propagation", "private", "--")
VIP, PAGE = "127.0.0.1:3478", "127.0.0.1:8080"
# `make test` runs these tests, and a make that they run must not take itself for a part of it.
_OF_MAKE = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES")
_ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in _OF_MAKE}

NO_BPFFS = "while umount /sys/fs/bpf 2>/dev/null; do :; done"
# Where a compiled program is kept; hidden, so that there is none.
OBJECT = sources.source_directory() / "relay.bpf.json"
NO_OBJECT = f"test -e {OBJECT} && mount --bind /dev/null {OBJECT}; mount -t tmpfs none /var/cache"
NO_HEADERS = (
    "mount -t tmpfs none /lib/modules; mount -t tmpfs none /usr/src; "
    "if test -e /sys/kernel/kheaders.tar.xz; then mount -t tmpfs none /sys/kernel; fi"
)

# Processes of its own, too, and labs: a demo there meets no other one.
OWN_LABS = (*OWN[:-1], "--pid", "--fork", "--kill-child", "--mount-proc", "--")
NO_LABS = f"""
for each in icelane netns; do mkdir -p /run/$each; mount -t tmpfs none /run/$each; done
{NO_BPFFS}
"""
LAB = f"{sys.executable} -m tests.lab"

# What is redirected to `public` arrives: otherwise the program is refused native mode there.
_TAKE_FRAMES = (
    "from relay.netns.offload import Offload, set_offload; set_offload('far', Offload.GRO, on=True)"
)
_LINKS = f"""
ip link set lo up
ip link add name public type veth peer name far
{sys.executable} -c "{_TAKE_FRAMES}"
ip address add 203.0.113.10/24 dev public
ip address add 192.0.2.1/24 dev public
ip link set public up
ip link set far up
"""
# Starts "$@", waits until it says that it is ready or ends, and prints its output at the end.
_SERVE = """
READY='^ready|"ready"'
serve() {
    : >"$LOG"
    "$@" >"$LOG" 2>&1 9>&- &
    SERVER=$!
    until grep -Eq "$READY" "$LOG" || ! kill -0 $SERVER 2>/dev/null; do sleep 0.05; done
}
end() {
    kill $SERVER 2>/dev/null
    wait $SERVER
    CODE=$?
    cat "$LOG"
    exit $CODE
}
"""


@dataclass(frozen=True, slots=True)
class Ended:
    """What something came to.

    Attributes:
        code: Its exit code.
        text: What it has printed, errors included.
        report: Of a call that was placed, its report.
    """

    code: int
    text: str
    report: dict[str, Any] | None = None

    @property
    def ready(self) -> bool:
        """Whether it served, and ended as it should."""
        return self.code == 0 and "ready" in self.text

    @property
    def lines(self) -> list[str]:
        """What it has printed, by line."""
        return self.text.splitlines()


def run(
    script: str,
    *arguments: str | Path,
    namespaces: Sequence[str] = OWN,
    environment: dict[str, str] | None = None,
) -> Ended:
    """Run a script of bash with arguments on a host of its own."""
    done = subprocess.run(
        [*namespaces, "bash", "-c", script, "bash", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=LIMIT,
        check=False,
        env=_ENVIRONMENT | (environment or {}),
        cwd=ROOT,
    )
    return Ended(done.returncode, done.stdout)


def relay(
    instance: str,
    directory: Path,
    *,
    prepare: str = "true",
    wrapper: str = "",
    dataplane: str = "xdp",
    redis: str = "",
) -> Ended:
    """Run a relay on a host in a state, until it serves or gives up.

    Args:
        instance: Its name.
        directory: For its files.
        prepare: Makes the state, in bash; $RELAY is the relay's command line, `serve` starts it as
            the process $SERVER.
        wrapper: A command that runs it, such as ``setpriv``.
        dataplane: What forwards.
        redis: The URL of its mirror.
    """
    _write_files(directory)
    command = (
        f"{ICELANE} relay run --vip 203.0.113.10:3478 --upstream 192.0.2.1 --ports 20000-20100 "
        f"--interface public --dataplane {dataplane} --instance {instance} "
        f"--keys {directory}/keys.toml --registry {directory}/registry.toml"
    )
    if redis:
        command += f" --redis {redis}"
    script = (
        f"LOG={directory}/log\nRELAY='{command}'\n{_LINKS}\n{_SERVE}\n{prepare}\n"
        f"serve {wrapper} {command}\nend"
    )
    return run(script)


def up(
    instance: str,
    directory: Path,
    *,
    prepare: str = "true",
    wrapper: str = "",
    options: str = "",
    meanwhile: str = "true",
    patience: float = 30.0,
) -> Ended:
    """Run `icelane up` on a host in a state, and place a call of a second there.

    Args:
        instance: Its name.
        directory: For its files.
        prepare: Makes the state, in bash; $UP is its command line, `serve` starts it as $SERVER.
        wrapper: A command that runs it.
        options: More of its options.
        meanwhile: What is done once it serves, before the call, in bash.
        patience: How long the call may take, in seconds.
    """
    command = f"{ICELANE} up --vip {VIP} --listen {PAGE} --instance {instance}"
    command += f" --backend echo {options}"
    script = f"""
LOG={directory}/log
UP='{command}'
{_LINKS}
{_SERVE}
{prepare}
serve {wrapper} {command}
if grep -Eq "$READY" "$LOG"; then
    {meanwhile}
    timeout {patience} {ICELANE} call http://{PAGE} --seconds 1 --json >{directory}/report
fi
end
"""
    written = directory / "report"
    written.unlink(missing_ok=True)
    ended = run(script)
    text = written.read_text(encoding="utf-8") if written.exists() else ""
    report = json.loads(text) if text else None
    return Ended(ended.code, ended.text, report)


def served_a_call(ended: Ended) -> bool:
    """Whether `icelane up` served a call of which nothing was lost."""
    report = ended.report
    return (
        ended.ready
        and report is not None
        and report["error"] is None
        and report["lost_to_server"] == report["lost_to_client"] == 0
    )


def _write_files(directory: Path) -> None:
    (directory / "registry.toml").write_text(
        '[[transceiver]]\ncluster = 1\nslot = 1\ngeneration = 1\naddress = "192.0.2.2:5000"\n',
        encoding="utf-8",
    )
    (directory / "keys.toml").write_text(
        f'signing = 0\n[keys]\n0 = "{"07" * 32}"\n', encoding="utf-8"
    )
    (directory / "keys.toml").chmod(0o600)


def lab_up_and_down(name: str, *, prepare: str = "true") -> Ended:
    """Bring a lab up on a host in a state, show its client's addresses, and take it down."""
    script = (
        f"{prepare}\n{LAB} up --redis --dataplane userspace --name {name}; CODE=$?\n"
        f"nsenter --net=/run/netns/icelane-{name}-client ip -oneline address show dev public\n"
        f"{LAB} down --name {name}; exit $CODE"
    )
    return run(script)
