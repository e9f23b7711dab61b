"""Things are broken one at a time, as hosts are: one command says what, and what mends it.

Calls are at stake in `tests.e2e.test_broken_calls`; `docs/troubleshooting.md` lists all.
"""

import shutil
from pathlib import Path

import pytest

from tests.e2e.broken import REDIS, TRANSCEIVER, VIP, Host
from tests.hoststates.host import NO_BPFFS, NO_HEADERS, NO_OBJECT
from tests.hoststates.test_network import DROP, HOLD, NO_IPV6

pytestmark = [pytest.mark.e2e, pytest.mark.netns, pytest.mark.bpf]

READ_ONLY_BPFFS = "mount -o remount,ro,bind /sys/fs/bpf"
BRIDGE = "ip link add bridge type bridge; ip link set bridge up"
NOBODY = "setpriv --reuid nobody --regid nogroup --clear-groups --"


@pytest.fixture
def host(tmp_path: Path) -> Host:
    for each in (tmp_path, *tmp_path.parents):
        if "pytest-of-" in str(each):
            each.chmod(0o755)
    found = Host(tmp_path)
    found.write()
    return found


class TestKernel:
    """bpffs, headers, and network cards."""

    @pytest.fixture(autouse=True)
    def _wants_xdp(self, host: Host) -> None:
        host.write("xdp")

    def test_no_bpffs(self, host: Host) -> None:
        seen = host.doctor(NO_BPFFS)
        assert seen.verdict("bpffs") == "warn"
        assert "not mounted at /sys/fs/bpf" in seen.words("bpffs")
        assert seen.words("bpffs").endswith("-> mount -t bpf bpf /sys/fs/bpf")

    def test_bpffs_is_read_only(self, host: Host) -> None:
        seen = host.doctor(READ_ONLY_BPFFS)
        assert (seen.code, seen.verdict("bpffs")) == (1, "fail")
        assert seen.words("bpffs").endswith("-> mount -o remount,rw /sys/fs/bpf")

    @pytest.mark.parametrize(("dataplane", "code"), [("xdp", 1), ("auto", 0)])
    def test_a_relay_on_a_read_only_bpffs(self, host: Host, dataplane: str, code: int) -> None:
        where = ("--dataplane", dataplane)
        ended = host.relay(READ_ONLY_BPFFS, *where, until="ready: relay on")
        assert ended.code == code, ended.text
        assert "mounted read-only" in ended.text
        assert "mount -o remount,rw /sys/fs/bpf" in ended.text
        assert "Traceback" not in ended.text

    def test_there_is_no_place_for_bpffs(self, host: Host) -> None:
        ended = host.relay("mount -t tmpfs -o ro none /sys/fs")
        assert ended.code == 1
        assert "There is no /sys/fs/bpf" in ended.text
        assert "--volume /sys/fs/bpf:/sys/fs/bpf" in ended.text

    def test_no_kernel_headers(self, host: Host) -> None:
        seen = host.doctor(f"{NO_OBJECT}\n{NO_HEADERS}")
        assert (seen.code, seen.verdict("program")) == (1, "fail")
        assert "no kernel headers are installed" in seen.words("program")
        assert "apt-get install linux-headers-" in seen.words("program")

    def test_a_card_without_native_xdp(self, host: Host) -> None:
        options = ("--mode", "native", "--interface", "bridge")
        seen = host.doctor(BRIDGE, *options)
        assert (seen.code, seen.verdict("bridge xdp")) == (1, "fail")
        assert "driver bridge has no native XDP" in seen.words("bridge xdp")
        assert "--mode generic" in seen.words("bridge xdp")
        ended = host.relay(BRIDGE, *options)
        assert ended.code == 1
        assert "The driver of bridge refuses native mode" in ended.text


class TestKeyFile:
    """Who may read it, and who must."""

    def test_others_can_read_it(self, host: Host) -> None:
        state = "chmod 644 $D/keys.toml"
        mend = f"chmod 600 {host.directory}/keys.toml"
        seen = host.doctor(state)
        assert (seen.code, seen.verdict("keys")) == (1, "fail")
        assert seen.words("keys").endswith(f"-> {mend}")
        ended = host.relay(state)
        assert (ended.code, ended.text.strip().endswith(f"(mode 0644): {mend}")) == (2, True)

    def test_the_user_that_the_relay_becomes_cannot_read_it(self, host: Host) -> None:
        seen = host.doctor("true", "--user", "nobody")
        assert (seen.code, seen.verdict("keys")) == (1, "fail")
        assert "Permission denied" in seen.words("keys")
        assert seen.words("keys").endswith(f"chown nobody {host.directory}/keys.toml")

    @pytest.mark.parametrize(
        ("options", "wrapper"), [((), ""), (("--user", "nobody"), ""), ((), NOBODY)]
    )
    def test_what_root_keeps_for_a_group_is_well(
        self, host: Host, options: tuple[str, ...], wrapper: str
    ) -> None:
        state = "chown root:nogroup $D/keys.toml; chmod 440 $D/keys.toml"
        seen = host.doctor(state, *options, wrapper=wrapper)
        assert seen.verdict("keys") == "ok", seen.words("keys")
        assert "mode 0440" in seen.words("keys")

    def test_root_reads_what_it_keeps_for_a_group(self, host: Host) -> None:
        state = "chown root:nogroup $D/keys.toml; chmod 440 $D/keys.toml"
        ended = host.run(state, "keys", "list", f"{host.directory}/keys.toml")
        assert ended.code == 0, ended.text

    def test_it_is_a_directory(self, host: Host) -> None:
        state = "rm $D/keys.toml; mkdir $D/keys.toml"
        said = "Is a directory; name a file in it"
        assert said in host.relay(state).text
        assert "Is a directory" in host.doctor(state).words("keys")


REDIS_FAULTS = {
    "wrong password": (
        "redis --requirepass right",
        "redis://:wrong@127.0.0.1:6390",
        ("refuses the user or password of the URL", "write redis://USER:PASSWORD@HOST:PORT"),
    ),
    "no password": (
        "redis --requirepass right",
        REDIS,
        ("refuses the user or password of the URL", "write redis://USER:PASSWORD@HOST:PORT"),
    ),
    "wrong user": (
        "redis --requirepass right",
        "redis://joe:right@127.0.0.1:6390",
        ("refuses the user or password of the URL",),
    ),
    "a user who may not": (
        "redis; redis-cli -p 6390 acl setuser low on '>low' '~x:*' +get >/dev/null",
        "redis://low:low@127.0.0.1:6390",
        ("it does not permit it", "needs the commands FCALL, GET, SET"),
    ),
    "nobody there": ("true", REDIS, ("nobody listens there: start it",)),
    "no such name": ("true", "redis://redis.invalid", ("name is not found: correct the host",)),
    "TLS is not spoken": ("redis", "rediss://127.0.0.1:6390", ("write redis://",)),
    "a replica": (
        "redis --replicaof 127.0.0.1 6391",
        REDIS,
        ("it is a replica: name the master",),
    ),
    "no Redis Cluster": (
        "redis",
        "redis+cluster://127.0.0.1:6390",
        ("it is no Redis Cluster", "write redis://"),
    ),
    "no Sentinel": (
        "redis",
        "redis+sentinel://127.0.0.1:6390/calls",
        ("it is no Sentinel: write redis://",),
    ),
    "no Sentinel there": (
        "true",
        "redis+sentinel://127.0.0.1:6390/calls",
        ("no Sentinel answers that knows a master of that name",),
    ),
    "a master that Sentinels do not know": (
        (
            "touch $D/s.conf; redis-server $D/s.conf --sentinel --port 6390 >/dev/null & "
            "until_so redis-cli -p 6390 ping"
        ),
        "redis+sentinel://127.0.0.1:6390/calls",
        ("no Sentinel answers that knows a master of that name", "sentinel masters"),
    ),
}


@pytest.mark.parametrize("fault", REDIS_FAULTS)
def test_redis(host: Host, fault: str) -> None:
    state, url, said = REDIS_FAULTS[fault]
    seen = host.doctor(state, "--redis", url)
    assert (seen.code, seen.verdict("redis")) == (1, "fail")
    for each in said:
        assert each in seen.words("redis")
    assert "object at" not in seen.words("redis")
    assert "REDACTED" not in seen.words("redis")


def test_a_relay_says_that_redis_refuses_its_password(host: Host) -> None:
    url = "redis://:wrong@127.0.0.1:6390"
    said = "Redis is away, flows are not mirrored: it refuses the user or password"
    ended = host.relay("redis --requirepass right", "--redis", url, until=said)
    assert said in ended.text
    assert "wrong" not in ended.text


class TestPorts:
    """Others have them, or this host has not the address."""

    @pytest.mark.parametrize(
        ("kind", "where", "name", "option"),
        [
            ("DGRAM", VIP, f"vip {VIP}:3478", "lunp"),
            ("DGRAM", "0.0.0.0", f"vip {VIP}:3478", "lunp"),
            ("STREAM", VIP, f"tcp {VIP}:3478", "ltnp"),
        ],
    )
    def test_the_vip(self, host: Host, kind: str, where: str, name: str, option: str) -> None:
        state = "LOG=$D/log\n" + HOLD.format(kind=kind, host=where, port=3478)
        seen = host.doctor(state, "--tcp", f"{VIP}:3478")
        assert (seen.code, seen.verdict(name)) == (1, "fail")
        assert f"another process has the port -> `ss -{option} sport = :3478`" in seen.words(name)
        ended = host.relay(state, "--tcp", f"{VIP}:3478")
        assert ended.code == 1
        assert "another process has that port: stop it (`ss -lntup sport = :3478`" in ended.text

    def test_of_metrics(self, host: Host) -> None:
        state = "LOG=$D/log\n" + HOLD.format(kind="STREAM", host="127.0.0.1", port=9100)
        ended = host.relay(state, "--metrics", "127.0.0.1:9100")
        assert ended.code == 1
        assert "cannot serve metrics at 127.0.0.1:9100: another process has that port" in ended.text
        assert "Endpoint(" not in ended.text

    def test_ipv6_is_off(self, host: Host) -> None:
        vip = "[2001:db8::1]:3478"
        mend = "sysctl -w net.ipv6.conf.all.disable_ipv6=0"
        seen = host.doctor(NO_IPV6, "--vip", vip)
        assert seen.words(f"vip {vip}") == f"IPv6 is switched off on this host -> {mend}"
        assert (
            f"IPv6 is switched off on this host: {mend}" in host.relay(NO_IPV6, "--vip", vip).text
        )


ROUTED = """
ip netns add beyond
ip link set far netns beyond
ip -n beyond link set lo up
ip -n beyond address add 203.0.113.1/24 dev far
ip -n beyond link set far up
ip netns add last
ip -n beyond link add name wire type veth peer name wire netns last
ip -n beyond address add 10.1.0.1/24 dev wire
ip -n last address add 10.1.0.2/24 dev wire
ip -n beyond link set wire mtu 1000 up
ip -n last link set wire mtu 1000 up
ip -n last route add default via 10.1.0.1
ip netns exec beyond sysctl -qw net.ipv4.ip_forward=1
ip -n beyond route add 192.0.2.0/24 via 203.0.113.10
ip route add 10.1.0.0/24 via 203.0.113.1
sed -i 's/192.0.2.1:5000/10.1.0.2:5000/; /^control/d' $D/registry.toml
"""


class TestMtu:
    """Of the link, of a route, and of a router on the way."""

    @pytest.mark.parametrize("dataplane", ["xdp", "userspace"])
    def test_of_the_link(self, host: Host, dataplane: str) -> None:
        seen = host.doctor("ip link set public mtu 1000", "--dataplane", dataplane)
        assert seen.verdict("public mtu") == "warn"
        assert "1,000 bytes: packets of WebRTC do not fit" in seen.words("public mtu")
        assert "-> ip link set public mtu 1500" in seen.words("public mtu")

    def test_of_the_route_to_clients(self, host: Host) -> None:
        seen = host.doctor("ip route add default via 203.0.113.1 dev public mtu 900")
        assert "carries packets of 900 bytes" in seen.words(f"vip {VIP}:3478 path")

    def test_of_a_router_before_the_transceiver(self, host: Host) -> None:
        seen = host.doctor(ROUTED)
        assert "carries packets of 1,000 bytes" in seen.words("transceiver 10.1.0.2:5000 path")
        assert "tracepath -n" in seen.words("transceiver 10.1.0.2:5000 path")

    def test_wide_ways_are_no_matter(self, host: Host) -> None:
        seen = host.doctor(ROUTED.replace("mtu 1000", "mtu 1500"))
        assert not seen.words("transceiver 10.1.0.2:5000 path")


@pytest.mark.skipif(shutil.which("faketime") is None, reason="needs faketime")
@pytest.mark.parametrize(("seconds", "says"), [("+720", "12 minutes ahead"), ("-240", "4 minutes")])
def test_the_clock(host: Host, seconds: str, says: str) -> None:
    fake = f"env FAKETIME_DONT_FAKE_MONOTONIC=1 faketime -f {seconds}"
    seen = host.doctor("redis", "--redis", REDIS, wrapper=fake)
    assert seen.verdict("clock") == "warn"  # Redis alone disagrees: one of the two is wrong
    assert says in seen.words("clock")
    assert "timedatectl set-ntp true" in seen.words("clock")


class TestAdminSocket:
    """The directory in which the agent makes it."""

    @pytest.mark.parametrize(
        ("state", "says", "mend"),
        [
            ("mount -t tmpfs -o ro none /run", "Read-only file system", "remount,rw"),
            ("mount -t tmpfs -o nr_inodes=1 none /run", "No space left on device", "df -i"),
        ],
    )
    def test_of_all_relays(self, host: Host, state: str, says: str, mend: str) -> None:
        ended = host.relay(state)
        assert ended.code == 1
        assert says in ended.text
        assert mend in ended.text
        seen = host.doctor(state)
        assert (seen.code, seen.verdict("admin")) == (1, "fail")
        assert says in seen.words("admin")
        assert mend in seen.words("admin")

    def test_of_another_user(self, host: Host) -> None:
        where, state = ("--admin", "/run/own/a.sock", "--user", "nobody"), "mkdir -m 755 /run/own"
        mended = f"{state}; chown root:nogroup $D/keys.toml; chmod 440 $D/keys.toml"
        ended = host.relay(mended, *where)
        assert ended.code == 1, ended.text
        assert "Permission denied; let this user write to /run/own (chown)" in ended.text
        assert "let this user write to /run/own" in host.doctor(mended, *where).words("admin")

    def test_what_is_not_there_is_made_for_the_relays_user(self, host: Host) -> None:
        where = ("--admin", "/run/own/a.sock", "--user", "nobody")
        state = "chown root:nogroup $D/keys.toml; chmod 440 $D/keys.toml"
        assert host.doctor(state, *where).verdict("admin") == "ok"
        look = "stat -c 'made %U:%G %a' /run/own >>$D/said"
        looked = f"{state}; (until_so test -S /run/own/a.sock; {look}) &"
        ended = host.relay(looked, *where, until="made")
        assert "made root:nogroup 770" in ended.text


class TestFirewall:
    """What nftables drops."""

    def test_by_default(self, host: Host) -> None:
        seen = host.doctor(DROP)
        assert "udp dport { 3478, 10000-29999 } accept" in seen.words("firewall")

    @pytest.mark.parametrize(
        "rule", ["udp dport 3478 drop", "udp dport { 53, 3000-4000 } counter reject", "drop"]
    )
    def test_by_a_rule(self, host: Host, rule: str) -> None:
        state = (
            DROP.replace("policy drop", "policy accept") + f"nft 'add rule inet host input {rule}'"
        )
        mend = f"nft delete rule inet host input handle {3 if '{' in rule else 2}"  # a set has one
        seen = host.doctor(state)
        assert seen.verdict("firewall") == "warn"
        assert "drops udp dport 3478 (chain inet host input" in seen.words("firewall")
        assert mend in seen.words("firewall")
        assert mend in host.relay(state, until=mend).text
        assert host.doctor(f"{state}; {mend}").verdict("firewall") == "ok"


@pytest.mark.parametrize(
    ("typo", "says"),
    [
        ("s/slot/slto/", "unknown key slto"),
        ("s/transceiver/transciever/", "did you mean transceiver?"),
        ("s/192.0.2.1:5000/host.invalid:5000/", "'host.invalid' is not an IPv4 or IPv6 address"),
    ],
)
def test_a_registry_file_with_a_typo(host: Host, typo: str, says: str) -> None:
    state = f"sed -i '{typo}' $D/registry.toml"
    seen = host.doctor(state)
    assert (seen.code, seen.verdict("registry")) == (1, "fail")
    assert says in seen.words("registry")
    ended = host.relay(state)
    assert (ended.code, says in ended.text) == (2, True)


def test_a_name_that_does_not_resolve(host: Host) -> None:
    config = str(host.directory / "icelane.toml")
    ended = host.run("true", "doctor", "--config", config, "--stun", "stun.invalid:3478")
    assert ended.code == 2
    assert "correct its name, or DNS (/etc/resolv.conf)" in ended.text


def test_few_open_files(host: Host) -> None:
    seen = host.doctor("ulimit -n 64")
    assert "only 64 files may be open at once" in seen.words("descriptors")
    assert "LimitNOFILE=65536" in seen.words("descriptors")


def test_nobody_is_where_the_registry_names_a_transceiver(host: Host) -> None:
    seen = host.doctor("true")
    name = f"transceiver {TRANSCEIVER}"
    assert (seen.code, seen.verdict(name)) == (1, "fail")
    assert "refuses: Connection refused -> start it" in seen.words(name)
