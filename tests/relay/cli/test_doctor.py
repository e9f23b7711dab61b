"""`icelane doctor`, as a process on a host of its own, and what it prints."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from relay.wire.keys import KeyRing
from tests.ports import free_port
from tests.relay.cli.commands import ICELANE, LIMIT, icelane, refused

pytestmark = pytest.mark.netns

OWN = ("unshare", "--net", "--mount", "--propagation", "private", "sh", "-ec")
# One thing after the other is broken: a host that has no bpffs, a small range of ports that is the
# kernel's, a firewall, a policy of IPsec, a rule by mark, and a large MTU.
BROKEN = """
while umount /sys/fs/bpf 2>/dev/null; do :; done
ip link set lo up
ip link add name public type veth peer name far
ip address add 203.0.113.10/24 dev public
ip address add 192.0.2.1/24 dev public
ip link set public mtu 9000 up
ip link set far up
sysctl -qw net.ipv4.ip_local_port_range="20050 60999"
ip rule add fwmark 1 lookup 5 pref 99
ip xfrm policy add src 192.0.2.0/24 dst 10.0.0.0/8 dir out tmpl proto esp
nft add table inet fw
nft add chain inet fw in '{ type filter hook input priority 0; policy drop; }'
nft add rule inet fw in iif lo accept
exec "$@"
"""


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """A relay's settings, with a key file that everybody can read."""
    (tmp_path / "keys.toml").write_text(KeyRing({0: bytes(32)}, 0).dumps())
    (tmp_path / "keys.toml").chmod(0o644)
    (tmp_path / "registry.toml").write_text(
        '[[transceiver]]\ncluster = 1\nslot = 1\ngeneration = 1\naddress = "192.0.2.1:5000"\n'
    )
    file = tmp_path / "icelane.toml"
    file.write_text(
        '[relay]\nvip = "203.0.113.10:3478"\nupstream = "192.0.2.1"\nports = "20000-20100"\n'
        'keys = "keys.toml"\nregistry = "registry.toml"\ndataplane = "xdp"\n'
        'interface = ["public"]\nredis = "redis://192.0.2.1:6399/0"\ninstance = "doctor-test"\n'
    )
    return file


def on_a_host(prepare: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [*OWN, prepare, "sh", str(ICELANE), "doctor", *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=LIMIT)


def test_ten_things_that_are_broken_are_found_by_one_command(settings: Path) -> None:
    done = on_a_host(BROKEN, "--config", settings, "--json")
    assert (done.returncode, done.stderr) == (1, "")
    found: dict[str, dict[str, Any]] = {each["name"]: each for each in json.loads(done.stdout)}
    assert {name: found[name]["verdict"] for name in EXPECTED} == {
        name: verdict for name, (verdict, _) in EXPECTED.items()
    }
    assert {name for name in EXPECTED if EXPECTED[name][1] not in found[name]["fix"]} == set()


EXPECTED = {
    "bpffs": ("warn", "mount -t bpf bpf /sys/fs/bpf"),
    "public mtu": ("warn", "ip link set public mtu 1500"),
    "policy routing": ("warn", "--dataplane userspace"),
    "xfrm": ("warn", "--dataplane userspace"),
    "nftables": ("warn", "--dataplane userspace"),
    "firewall": ("warn", "nft add rule inet fw in udp dport"),
    "ports": ("warn", "sysctl -w net.ipv4.ip_local_reserved_ports=20000-20100"),
    "keys": ("fail", "chmod 600"),
    "redis": ("fail", "--redis"),
    "transceiver 192.0.2.1:5000": ("fail", "start it"),
    "vip 203.0.113.10:3478": ("ok", ""),
    "kernel": ("ok", ""),
}


def test_elsewhere_than_on_a_terminal_there_is_a_line_for_each() -> None:
    done = on_a_host('while umount /sys/fs/bpf 2>/dev/null; do :; done; exec "$@"')
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines, done
    assert any(line.startswith("warn") and "bpffs" in line for line in lines)
    assert any(line.endswith("-> mount -t bpf bpf /sys/fs/bpf") for line in lines)
    assert done.stdout.isascii()
    assert "warn" in lines[-1]


def test_on_a_terminal_of_80_columns_nothing_is_cut() -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ |= {"COLUMNS": "80", "TERM": "xterm"}
        os.execv(sys.executable, [sys.executable, str(ICELANE), "doctor"])  # noqa: S606
    shown = b""
    try:
        while piece := os.read(terminal, 65_536):
            shown += piece
    except OSError:  # its other end is closed
        pass
    finally:
        os.close(terminal)
        _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    text = shown.decode()
    assert "\x1b[" in text  # colours
    assert "…" not in text
    plain = "".join(part.partition("m")[2] for part in f"\x1b[m{text}".split("\x1b["))
    assert max(map(len, plain.splitlines())) <= 80
    assert "Linux" in plain


def test_without_root_it_says_what_it_could_not_see() -> None:
    drop = 'exec setpriv --bounding-set=-all --inh-caps=-all --reuid=nobody --clear-groups "$@"'
    done = on_a_host(drop, "--json")
    if done.returncode == 126 or "Permission denied" in done.stderr:
        pytest.skip("needs a checkout that the user nobody can read")
    assert done.returncode == 0, done.stderr
    found = {each["name"]: each["verdict"] for each in json.loads(done.stdout)}
    assert found["capabilities"] == "unknown"
    assert found["nftables"] == found["xfrm"] == "unknown"


def test_a_mistake_in_the_settings_is_one_of_usage() -> None:
    assert "--vip" in refused(icelane("doctor", "--vip", "nowhere"))
    vip = f"127.0.0.1:{free_port()}"
    assert "--stun" in refused(icelane("doctor", "--vip", vip, "--stun", "nowhere"))
