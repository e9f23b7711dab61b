"""What is broken while calls go on: a full flow table, a transceiver that hangs or is dead."""

import json
from pathlib import Path

import pytest

from tests.e2e.broken import INSTANCE, TRANSCEIVER, Host, Seen
from tests.hoststates.host import ICELANE, Ended

pytestmark = [pytest.mark.e2e, pytest.mark.netns, pytest.mark.bpf]

PAGE = "http://127.0.0.1:8080"
# All of a site; $T is the transceiver's process. `call N` places one of N seconds.
SITE = f"""
start() {{ LOG=$D/$1.log; shift; "$@" >$LOG 2>&1 & P=$!; until_so grep -q '^ready' $LOG; }}
start transceiver {ICELANE} transceiver run --keys $D/keys.toml --slot 1 --generation 1 \
    --listen {TRANSCEIVER} --control 192.0.2.1:8090 --backend echo
T=$P
start relay {ICELANE} relay run --config $D/icelane.toml --max-flows 1 --ports 10000-10063
start signaling {ICELANE} signaling run --keys $D/keys.toml --registry $D/registry.toml --open \
    --listen 127.0.0.1:8080
call() {{ timeout 60 {ICELANE} call {PAGE} --seconds $1 --json; }}
flows() {{ {ICELANE} flows --instance {INSTANCE} | grep -q confirmed; }}
"""


@pytest.fixture
def host(tmp_path: Path) -> Host:
    found = Host(tmp_path)
    found.write()
    return found


def both(host: Host, state: str, *command: str) -> Ended:
    """Run a command in a state of a site."""
    return host.run(f"{SITE}\n{state}", *command)


class TestFullFlowTable:
    """There is room for one flow, and it has it."""

    STATE = "(call 30 >$D/one.log 2>&1) & until_so flows"

    def test_doctor(self, host: Host) -> None:
        config = str(host.directory / "icelane.toml")
        seen = Seen.of(both(host, self.STATE, "doctor", "--config", config, "--json"))
        assert seen.verdict("relay flows") == "warn"
        assert seen.words("relay flows") == (
            "1 of 1 confirmed flows: full, new clients get none -> raise --max-flows and --ports "
            "and restart, or add a relay"
        )

    def test_status(self, host: Host) -> None:
        ended = both(host, self.STATE, "relay", "status")
        assert ended.code == 0
        said = "flows 1 of 1 (full: new clients get none; raise --max-flows and --ports)"
        assert said in ended.text


class TestTransceiver:
    """It is stopped or dead."""

    def test_it_hangs(self, host: Host) -> None:
        config = str(host.directory / "icelane.toml")
        asked = ("doctor", "--config", config, "--json")
        seen = Seen.of(both(host, "kill -STOP $T; trap 'kill -CONT $T' EXIT", *asked))
        name = f"transceiver {TRANSCEIVER}"
        assert (seen.code, seen.verdict(name)) == (1, "fail")
        assert "takes connections and does not answer -> it hangs: restart it" in seen.words(name)

    def test_it_is_dead(self, host: Host) -> None:
        config = str(host.directory / "icelane.toml")
        state = "kill -KILL $T; wait $T 2>/dev/null"
        seen = Seen.of(both(host, state, "doctor", "--config", config, "--json"))
        name = f"transceiver {TRANSCEIVER}"
        assert (seen.code, seen.verdict(name)) == (1, "fail")
        assert "Connection refused -> start it" in seen.words(name)

    def test_calls_say_that_it_is_dead(self, host: Host) -> None:
        state = "kill -KILL $T; wait $T 2>/dev/null"
        ended = both(host, state, "calls", "list", "--instance", INSTANCE)
        assert ended.code == 1
        assert "nobody listens there: start it, or correct its address" in ended.text
        assert "ssl:default" not in ended.text

    def test_it_is_well(self, host: Host) -> None:
        state = "(call 30 >$D/one.log 2>&1) & until_so flows"
        ended = both(host, state, "calls", "list", "--instance", INSTANCE, "--json")
        assert ended.code == 0, ended.text
        (call,) = json.loads(ended.text[ended.text.index("[\n") :])
        assert 0.0 <= call["audio"]["concealed_share"] <= 1.0
