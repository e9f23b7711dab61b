"""The terminal, or what is in its place."""

import sys
from pathlib import Path

import pytest

from tests.hoststates import host
from tests.hoststates.conftest import Says
from tests.hoststates.matrix import state

pytestmark = pytest.mark.netns

# What a demo prints that finds another one running: at once, and with a character that is no ASCII.
REFUSED = "A demo is already running on this machine; wait for its end."
BUSY = f"{host.NO_LABS}\nexec 8>/run/icelane/demo.lock; flock 8\n"


@pytest.mark.parametrize(
    ("environment", "mark"),
    [
        pytest.param({"LANG": "C"}, "✗", marks=state("`LANG=C`", "works")),
        pytest.param({"LC_ALL": "POSIX"}, "✗", marks=state("`LC_ALL=POSIX`", "works")),
        pytest.param(
            {"PYTHONIOENCODING": "ascii"},
            "?",
            marks=state("`PYTHONIOENCODING=ascii`", "works; `?` for what ASCII lacks"),
        ),
        pytest.param({"TERM": "dumb"}, "✗", marks=state("`TERM=dumb`", "works, without colours")),
    ],
)
def test_environment(environment: dict[str, str], mark: str) -> None:
    unset = {"LANG": "", "LC_ALL": "", "PYTHONIOENCODING": ""}
    ended = host.run(
        f"{BUSY}\n{host.LAB} demo; {host.ICELANE} --help",
        namespaces=host.OWN_LABS,
        environment=unset | environment,
    )
    assert f"{mark} {REFUSED}" in ended.text
    assert "Usage: icelane" in ended.text
    assert "Traceback" not in ended.text


@state("no terminal at all (`setsid`, standard input closed)", "works")
def test_no_terminal() -> None:
    ended = host.run(f"{BUSY}\nsetsid --wait {host.LAB} demo <&-", namespaces=host.OWN_LABS)
    assert (ended.code, ended.text) == (1, f"✗ {REFUSED}\n")


COMMANDS = [
    f"{host.ICELANE} --help",
    f"{host.LAB} status --json",
    f"{sys.executable} -m tests.bench --help",
]


@state("standard output is closed (`| head -1`)", "ends without a word")
@pytest.mark.parametrize("command", COMMANDS, ids=["icelane", "lab", "bench"])
def test_a_reader_that_has_gone(command: str) -> None:
    ended = host.run(f"{command} | true; echo ${{PIPESTATUS[0]}}")
    assert ended.text.strip() in ("0", "141")  # 0 when all was written before


@state(
    "standard output is full (`/dev/full`)",
    "ends with exit code 1",
    "Standard output cannot be written (No space left on device): send it elsewhere.",
)
@pytest.mark.parametrize("command", COMMANDS, ids=["icelane", "lab", "bench"])
def test_a_full_disk(command: str, says: Says) -> None:
    ended = host.run(f"{command} >/dev/full")
    assert (ended.code, len(ended.lines)) == (1, 1)
    says(ended.text)


@state(
    "the same of a relay",
    "ends with exit code 1",
    "Standard output cannot be written (No space left on device): send it elsewhere.",
)
def test_a_relay_with_a_full_disk(says: Says, tmp_path: Path, instance: str) -> None:
    wrapper = "bash -c '\"$@\" >/dev/full' bash"
    ended = host.relay(instance, tmp_path, wrapper=wrapper, dataplane="userspace")
    assert ended.code == 1
    says(ended.lines[-1])
