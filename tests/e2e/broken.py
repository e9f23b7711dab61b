"""A host of a test's own on which something is broken, and what an operator is told there."""

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.hoststates.host import ICELANE, OWN_LABS, Ended, run

VIP, UPSTREAM, TRANSCEIVER = "203.0.113.10", "192.0.2.1", "192.0.2.1:5000"
ROUTER = "203.0.113.1"  # of the far end of the public link
REDIS = "redis://127.0.0.1:6390"
INSTANCE = "broken"

_HOST = f"""
while umount /sys/fs/bpf 2>/dev/null; do :; done
mount -t bpf bpf /sys/fs/bpf
mount -t tmpfs none /run
ip link set lo up
ip link add name public type veth peer name far
ip address add {VIP}/24 dev public
ip address add {UPSTREAM}/24 dev public
ip link set public up
ip link set far up
# Waits for a command to succeed, for 20 s, without which a state is not what it is to be.
until_so() {{
    for _ in $(seq 400); do "$@" >/dev/null 2>&1 && return; sleep 0.05; done
    echo "nothing came of: $*" >&2
    exit 1
}}
# Runs a command that does not give up until it has said something in $D/said, for 60 s.
until_said() {{
    "${{@:2}}" >>$D/said 2>&1 &
    local command=$!
    for _ in $(seq 1200); do
        kill -0 $command 2>/dev/null || break
        if grep -qF -- "$1" $D/said; then break; fi
        sleep 0.05
    done
    kill $command 2>/dev/null
    wait $command
    local code=$?
    cat $D/said
    return $code
}}
redis() {{
    redis-server --port 6390 --bind 127.0.0.1 --save "" --dir "$D" "$@" >$D/redis.log 2>&1 &
    until_so grep -q "Ready to accept" $D/redis.log
}}
"""
_REGISTRY = f"""
[[transceiver]]
cluster = 1
slot = 1
generation = 1
address = "{TRANSCEIVER}"
control = "http://192.0.2.1:8090"

[[relay]]
vip = "{VIP}:3478"
"""
_SETTINGS = """
[relay]
instance = "{instance}"
vip = ["{vip}:3478"]
upstream = ["{upstream}"]
keys = "{directory}/keys.toml"
registry = "{directory}/registry.toml"
interface = ["public"]
dataplane = "{dataplane}"
"""


@dataclass(frozen=True, slots=True)
class Host:
    """A host with a relay's settings.

    Attributes:
        directory: Has its files.
    """

    directory: Path

    def write(self, dataplane: str = "userspace") -> None:
        """Write settings, keys and registry, of a relay whose transceiver is not there."""
        settings = _SETTINGS.format(
            instance=INSTANCE,
            vip=VIP,
            upstream=UPSTREAM,
            directory=self.directory,
            dataplane=dataplane,
        )
        (self.directory / "icelane.toml").write_text(settings, encoding="utf-8")
        (self.directory / "registry.toml").write_text(_REGISTRY, encoding="utf-8")
        keys = self.directory / "keys.toml"
        keys.write_text(f'signing = 0\n[keys]\n0 = "{"07" * 32}"\n', encoding="utf-8")
        keys.chmod(0o600)
        self.directory.chmod(0o755)

    def run(self, state: str, *command: str, wrapper: str = "") -> Ended:
        """Run a command of `icelane` in a state.

        Args:
            state: Makes it, in bash; $D is the directory, `redis` starts one with its options.
            command: The command and its options.
            wrapper: What runs it.
        """
        script = f'D={self.directory}\n{_HOST}\n{state}\n{wrapper} {ICELANE} "$@"'
        return run(script, *command, namespaces=OWN_LABS)

    def doctor(self, state: str, *options: str, wrapper: str = "") -> "Seen":
        """Ask `icelane doctor` of the relay."""
        config = str(self.directory / "icelane.toml")
        asked = ("doctor", "--config", config, "--json", *options)
        return Seen.of(self.run(state, *asked, wrapper=wrapper))

    def relay(self, state: str, *options: str, until: str | None = None) -> Ended:
        """Run the relay until it gives up, which a busy machine may let it do late.

        Args:
            state: As of `run`.
            options: Its options.
            until: What it is told to end after, if it does not give up: its words, or those that
                the state writes into $D/said.
        """
        config = str(self.directory / "icelane.toml")
        wrapper = "timeout 60" if until is None else f"until_said {shlex.quote(until)}"
        return self.run(state, "relay", "run", "--config", config, *options, wrapper=wrapper)


@dataclass(frozen=True, slots=True)
class Seen:
    """What `icelane doctor` has found.

    Attributes:
        code: Its exit code.
        findings: What it printed, with `name`, `verdict`, `says` and `fix`.
    """

    code: int
    findings: list[dict[str, Any]]

    @classmethod
    def of(cls, ended: Ended) -> "Seen":
        """Read it; what a state prints before is none of it."""
        assert "Traceback" not in ended.text
        return cls(ended.code, json.loads(ended.text[ended.text.index("[\n") :]))

    def verdict(self, name: str) -> str:
        """How a thing is, by the first that is said of it."""
        return str(next(each["verdict"] for each in self.findings if each["name"] == name))

    def words(self, name: str) -> str:
        """What is said of a thing, and what mends it."""
        found = [f"{each['says']} -> {each['fix']}" for each in self.findings]
        return "\n".join(
            words for words, each in zip(found, self.findings, strict=True) if each["name"] == name
        )
