"""The network: ports that are taken, address families, firewalls."""

import json
from pathlib import Path

import pytest

from tests.hoststates import host
from tests.hoststates.conftest import Says
from tests.hoststates.matrix import state

pytestmark = [pytest.mark.bpf, pytest.mark.netns]

HOLD = """
/usr/bin/python3 -c '
import socket, time
taken = socket.socket(socket.AF_INET, socket.SOCK_{kind})
taken.bind(("{host}", {port}))
taken.listen() if taken.type == socket.SOCK_STREAM else None
print("holding", flush=True)
time.sleep(60)' >$LOG.holder &
trap "kill $!" EXIT
until grep -q holding $LOG.holder; do sleep 0.05; done
"""
DROP = """
nft add table inet host
nft add chain inet host input '{ type filter hook input priority 0; policy drop; }'
"""
NO_IPV6 = "sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1"


@pytest.mark.parametrize(
    ("kind", "port"),
    [
        pytest.param(
            *("STREAM", 8080),
            marks=state(
                "TCP port 8080 is in use",
                "`icelane up` ends",
                "cannot listen on 127.0.0.1:8080 for the page: Address already in use; another "
                "program has this port: stop it or choose another port with --listen",
            ),
        ),
        pytest.param(
            *("STREAM", 3478),
            marks=state(
                "TCP port 3478 is in use",
                "`icelane up` ends",
                "cannot listen on 127.0.0.1:3478 for media over TCP: Address already in use; "
                "another program has this port: stop it or choose another port with --vip",
            ),
        ),
        pytest.param(
            *("DGRAM", 3478),
            marks=state(
                "UDP port 3478 is in use",
                "`icelane up` ends",
                "cannot listen on 127.0.0.1:3478 for media: Address already in use; another "
                "program has this port: stop it or choose another port with --vip",
            ),
        ),
    ],
)
def test_a_port_is_in_use(kind: str, port: int, instance: str, tmp_path: Path, says: Says) -> None:
    prepare = HOLD.format(kind=kind, host="127.0.0.1", port=port)
    ended = host.up(instance, tmp_path, prepare=prepare)
    assert ended.code == 1
    says(ended.lines[-1])


@state(
    "redis or anything else on port 6379",
    "works: the lab's redis is on a loopback of its own",
)
def test_redis_is_there(instance: str, tmp_path: Path) -> None:
    # The relay, too, takes what answers there for what it is: here for no Redis.
    prepare = HOLD.format(kind="STREAM", host="127.0.0.1", port=6379)
    ended = host.relay(instance, tmp_path, prepare=prepare, redis="redis://127.0.0.1:6379/0")
    assert ended.ready
    lab = host.lab_up_and_down(f"hs-{instance}", prepare=f"LOG={tmp_path}/log\n{prepare}")
    assert lab.code == 0, lab.text


@state("IPv6 is switched off (`disable_ipv6`)", "works, with IPv4")
def test_ipv6_is_off(instance: str, tmp_path: Path) -> None:
    ended = host.up(instance, tmp_path, prepare=NO_IPV6)
    assert host.served_a_call(ended), ended
    assert host.relay(instance, tmp_path, prepare=NO_IPV6).ready


@state("a kernel without IPv6", "works, with IPv4; the lab leaves its IPv6 addresses out")
def test_no_ipv6_at_all(instance: str, tmp_path: Path) -> None:
    hidden = "mount -t tmpfs none /proc/sys/net/ipv6"
    assert host.relay(instance, tmp_path, prepare=hidden).ready
    lab = host.lab_up_and_down(f"hs-{instance}", prepare=hidden)
    assert lab.code == 0, lab.text
    assert "inet 203.0.113.2/24" in lab.text
    assert "inet6 2001:db8" not in lab.text


@state("`ip_forward` is on already", "works, and it stays on")
def test_ip_forward_is_on(instance: str, tmp_path: Path) -> None:
    prepare = "sysctl -qw net.ipv4.ip_forward=1; trap 'sysctl net.ipv4.ip_forward' EXIT"
    ended = host.relay(instance, tmp_path, prepare=prepare)
    assert ended.ready
    assert ended.lines[-1] == "net.ipv4.ip_forward = 1"


@state(
    "`/proc/sys` is read-only (a container)",
    "`--dataplane xdp` ends",
    "Cannot switch on net/ipv… (Read-only file system), which the program needs: "
    "sysctl net.ipv4.conf.lo.forwarding=1 net.ipv6.conf.lo.forwarding=1",
)
def test_settings_cannot_be_written(instance: str, tmp_path: Path, says: Says) -> None:
    prepare = (
        "sysctl -qw net.ipv4.conf.lo.forwarding=0 net.ipv6.conf.lo.forwarding=0; "
        "mount --bind /proc/sys /proc/sys; mount -o remount,ro,bind /proc/sys"
    )
    ended = host.relay(instance, tmp_path, prepare=prepare)
    assert ended.code == 1
    says(ended.lines[-1])


@state(
    "a firewall that drops by default, with an exception for the loopback",
    "`icelane up` serves, and says what must be let in",
    "This host's firewall drops what no rule accepts (chain inet host input): if calls do not "
    "connect, `nft add rule inet host input iif lo accept` and `nft add rule inet host input udp "
    "dport 3478 accept` and `nft add rule inet host input tcp dport 3478 accept` and `nft add rule "
    "inet host input tcp dport 8080 accept`",
)
def test_a_firewall(instance: str, tmp_path: Path, says: Says) -> None:
    prepare = f"{DROP}\nnft add rule inet host input iif lo accept"
    ended = host.up(instance, tmp_path, prepare=prepare)
    assert host.served_a_call(ended), ended
    says(ended.text)


@state("the same without that exception", "calls fail; with the rules that are named they do not")
def test_a_firewall_that_drops_all(instance: str, tmp_path: Path) -> None:
    advised = "\n".join(
        f"nft add rule inet host input {each} accept"
        for each in ("iif lo", "udp dport 3478", "tcp dport 3478", "tcp dport 8080")
    )
    ended = host.up(instance, tmp_path, prepare=DROP, patience=3.0)
    assert ended.ready
    assert not host.served_a_call(ended)
    ended = host.up(instance, tmp_path, prepare=f"{DROP}\n{advised}")
    assert host.served_a_call(ended), ended


@state("nothing unusual", "`icelane up --json` and `relay status --json` tell what was found")
def test_what_was_found(instance: str, tmp_path: Path) -> None:
    options = "--json --dataplane xdp --interface public"
    status = f"{host.ICELANE} relay status --json --instance {instance} >$LOG.status"
    ended = host.up(instance, tmp_path, options=options, meanwhile=status)
    assert ended.code == 0
    (line,) = [each for each in ended.lines if each.startswith("{")]
    ready = json.loads(line)["ready"]
    assert (ready["dataplane"], ready["vip"]) == ("xdp", host.VIP)
    assert ready["host"]["interfaces"]["public"] == "native"
    assert "compiled" in ready["host"]["program"]
    (told,) = json.loads((tmp_path / "log.status").read_text(encoding="utf-8"))
    assert told["host"] == ready["host"]
