"""`python -m tests.bench failover`, in small: calls outlive a relay, and coming back costs nothing.

How long it takes is not judged here.
"""

import json
import signal
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from relay.dataplane.kernel.pins import instances
from tests.bench.__main__ import app
from tests.bench.failover import measure
from tests.bench.failover.figures import Record
from tests.bench.failover.measure import HAPPENINGS, LONGEST
from tests.bench.failover.plan import Form

CALLS = 6
COSTS_NOTHING = ("nothing", "and boots", "and goes on", "and arrive", "drained", "and wanted")


@pytest.mark.netns
@pytest.mark.bpf
@pytest.mark.e2e
@pytest.mark.alone
@pytest.mark.parametrize("dataplane", ["xdp", "userspace"])
def test_calls_outlive_whatever_happens_to_a_relay(tmp_path: Path, dataplane: str) -> None:
    scale = ("--times", "1", "--without-mirror", "0", "--calls", str(CALLS), "--flows", "0")
    # How fast a relay is found gone is not judged: BFD has the time that a busy machine needs.
    calm = ("--bfd", "200")
    output = str(tmp_path / "figures.json")
    done = CliRunner().invoke(
        app, ["failover", "--json", "-o", output, "--dataplane", dataplane, *scale, *calm]
    )
    assert done.exit_code == 0, done.output
    (run,) = json.loads(done.stdout)["runs"]
    found = run["figures"]
    assert json.loads(Path(output).read_text("utf-8"))["runs"] == [run]
    # All calls were there before each of them, and are heard again after it: whoever is not is
    # silent for all of the time that is looked at.
    counted = {each["what"]: 0 for each in found}
    for each in found:
        counted[each["what"]] += each["count"]
    happened = [name for each in HAPPENINGS for name in (each.name, each.back)]
    assert counted == dict.fromkeys(["nothing", *happened], CALLS)
    assert max(each["silence"][2] for each in found) < 1000 * LONGEST
    lost = {each["what"]: 0 for each in found}
    for each in found:
        lost[each["what"]] += each["lost"]
    assert {what: lost[what] for what in COSTS_NOTHING} == dict.fromkeys(COSTS_NOTHING, 0)


@pytest.mark.netns
@pytest.mark.parametrize(
    ("option", "told"),
    [
        (("--what", "weather"), "there is no 'weather'; there are: machine dies"),
        (("--dataplane", "steam"), "there is no 'steam'; there are: xdp, userspace"),
    ],
)
def test_what_there_is_not_is_refused_with_what_there_is(
    option: tuple[str, str], told: str
) -> None:
    done = CliRunner().invoke(app, ["failover", *option])
    assert done.exit_code != 0
    assert told in done.output


@pytest.mark.netns
def test_a_file_that_cannot_be_written_is_told_before_anything_is_measured(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["failover", "-o", str(tmp_path / "none" / "figures.json")])
    assert done.exit_code != 0
    assert "No such file or directory" in done.output


@pytest.mark.netns
@pytest.mark.bpf
@pytest.mark.e2e
def test_what_is_measured_is_kept_when_it_is_ended_early(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    begin = measure.running

    def recorded(form: Form) -> AbstractContextManager[Any]:
        if written:
            raise KeyboardInterrupt
        written.append(1)
        return begin(form)

    monkeypatch.setattr(measure, "running", recorded)
    output = tmp_path / "figures.json"
    scale = ("--times", "1", "--without-mirror", "1", "--calls", "0", "--flows", "10")
    chosen = ("--dataplane", "userspace", "--what", "drained", "--bfd", "50")
    CliRunner().invoke(app, ["failover", "-o", str(output), *chosen, *scale])
    (run,) = Record.loads(output.read_text("utf-8")).runs
    assert {(each.mirror, each.what) for each in run.figures} == {
        (True, "nothing"),
        (True, "drained"),
        (True, "and wanted"),
    }


@pytest.mark.netns
@pytest.mark.bpf
@pytest.mark.e2e
def test_nothing_is_left_of_what_is_told_to_end(tmp_path: Path) -> None:
    scale = ("--times", "1", "--without-mirror", "0", "--calls", "0", "--flows", "10")
    command = ("failover", "-o", str(tmp_path / "figures.json"), "--dataplane", "xdp", *scale)
    with subprocess.Popen(
        [sys.executable, "-m", "tests.bench", *command, "--bfd", "50"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as bench:
        assert bench.stderr is not None
        assert "machine dies" in bench.stderr.readline()  # and so all is up
        mine = f"failover-{bench.pid}"
        assert left(mine)
        bench.terminate()
    assert (bench.returncode, left(mine)) == (128 + signal.SIGTERM, [])


def left(name: str) -> list[str]:
    """What there is of a site: named networks and loaded programs."""
    run = Path("/run/netns")
    return [each for each in [*(path.name for path in run.iterdir()), *instances()] if name in each]
