"""What an earlier run has left."""

from pathlib import Path

import pytest

from tests.hoststates import host
from tests.hoststates.conftest import Says
from tests.hoststates.matrix import state
from tests.hoststates.test_files import venv

pytestmark = [pytest.mark.bpf, pytest.mark.netns]

KILL = "kill -9 $SERVER; wait $SERVER; rm $LOG"


@state("a relay was killed; its program and flows are pinned", "works: it adopts them")
def test_pins_of_a_killed_relay(instance: str, tmp_path: Path) -> None:
    ended = host.relay(instance, tmp_path, prepare=f"serve $RELAY; {KILL}")
    assert ended.ready


@state("pins of a relay whose interfaces have gone", "works: the program is attached anew")
def test_pins_of_another_network(instance: str, tmp_path: Path) -> None:
    assert host.relay(instance, tmp_path).ready
    ended = host.relay(instance, tmp_path)
    assert ended.ready
    assert "on public, native mode" in ended.text


@state("`icelane up --dataplane xdp` was killed", "works: the next one takes over what is left")
def test_up_was_killed(instance: str, tmp_path: Path) -> None:
    options = "--dataplane xdp --interface public"
    ended = host.up(instance, tmp_path, prepare=f"serve $UP; {KILL}", options=options)
    assert ended.ready
    assert ended.report is not None


@state(
    "a lab is up, or was left with its services killed",
    "another of that name ends, and leaves it alone",
    "is up already; `python -m tests.lab down --name …` takes it down.",
)
def test_a_stale_lab(says: Says) -> None:
    lab = f"{host.LAB} up --dataplane userspace --name stale"
    kill = "kill -9 $(cut -d' ' -f1 /run/icelane/lab-stale/*.pid)"
    down = f"{host.LAB} down --name stale"
    ended = host.run(
        f"{host.NO_LABS}\n{lab}; {kill}; {lab} && exit 9\n{down} && {lab} && {down}",
        namespaces=host.OWN_LABS,
    )
    assert ended.code == 0, ended.text
    says(ended.text)


DEMO = """
demo() {
    : >$LOG
    $LAB demo --seconds 6 >$LOG 2>&1 9>&- &
    until grep -q "call connected" $LOG || ! kill -0 $! 2>/dev/null; do sleep 0.05; done
}
demo; kill -9 $!; wait $!
ip netns list | grep -q icelane-demo-relay || exit 8
ls /run/icelane
demo; kill -TERM $!; wait $!; CODE=$?
cat $LOG; ls /run/icelane; ip netns list
exit $CODE
"""


@pytest.mark.e2e
@state("a demo was killed with SIGKILL in the middle", "works: the next one takes it down first")
def test_a_killed_demo(tmp_path: Path) -> None:
    ended = host.run(
        f"{host.NO_LABS}\nLAB='{host.LAB}'; LOG={tmp_path}/log\n{DEMO}", namespaces=host.OWN_LABS
    )
    assert ended.code == 130, ended.text
    assert "call connected" in ended.text
    assert "lab-demo" in ended.lines[0] + ended.lines[1] + ended.lines[2]
    assert ended.lines[-1] == "demo.lock"  # and nothing else, no namespace either


@state("`make setup` was killed with SIGKILL in the middle", "works: what it left is made anew")
def test_a_killed_set_up(tmp_path: Path) -> None:
    python, directory = tmp_path / "python", tmp_path / "venv"
    record = Path(f"{python}.record")
    killed = host.run(
        f"setsid {venv(directory, python, seconds=30.0)} & "
        f"until grep -q pip {record}; do sleep 0.05; done; kill -9 -- -$!; wait",
        namespaces=(),
    )
    assert "Installing" in killed.text
    record.unlink()
    again = host.run(venv(directory, python), namespaces=())
    assert again.code == 0, again.text
    assert record.read_text(encoding="utf-8").split() == ["venv", "pip"]
    assert host.run(venv(directory, python), namespaces=()).code == 0  # with nothing to do
    assert record.read_text(encoding="utf-8").split() == ["venv", "pip"]
