"""What comes into the machine is what is committed, and what was made there before stays."""

import io
import os
import shlex
import subprocess
import sys
import tarfile
from pathlib import Path

from vagrant import newcomer
from vagrant.machine import Machine

LONG_AGO = 1_000_000_000.0


def copied(directory: Path, files: dict[str, str]) -> None:
    """Copy files as into a machine."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            member.mtime = LONG_AGO
            member.mode = 0o755 if name.endswith(".sh") else 0o644
            tar.addfile(member, io.BytesIO(text.encode()))
    subprocess.run(
        ["sh", "-c", newcomer.copy_script(str(directory))],
        input=archive.getvalue(),
        capture_output=True,
        check=True,
    )


def contents(directory: Path) -> dict[str, str]:
    """The files of a directory, by path."""
    return {
        str(path.relative_to(directory)): path.read_text("utf-8")
        for path in directory.rglob("*")
        if path.is_file()
    }


FILES = {".gitignore": ".venv/\n*.pyc\nbpf/made.json\n", "bpf/a.c": "int a;", "run.sh": "true"}


def test_an_empty_machine_gets_every_file(tmp_path: Path) -> None:
    copied(tmp_path / "icelane", FILES)
    assert contents(tmp_path / "icelane") == FILES
    assert os.access(tmp_path / "icelane/run.sh", os.X_OK)


def test_what_is_not_committed_any_more_goes_and_what_git_ignores_stays(tmp_path: Path) -> None:
    copied(tmp_path, FILES | {"old/a.py": "", "relay/b.py": ""})
    made = {".venv/bin/python": "x", "bpf/made.json": "{}", "old/a.pyc": "", "relay/b.pyc": ""}
    for name, text in made.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    (tmp_path / "left.txt").touch()
    copied(tmp_path, FILES | {"relay/b.py": ""})
    assert contents(tmp_path) == FILES | {"relay/b.py": ""} | made


def test_only_files_that_differ_are_newer_to_make(tmp_path: Path) -> None:
    copied(tmp_path, FILES)
    for name in FILES:
        os.utime(tmp_path / name, (LONG_AGO, LONG_AGO))
    copied(tmp_path, FILES | {"bpf/a.c": "int b;"})
    newer = {name for name in FILES if (tmp_path / name).stat().st_mtime > LONG_AGO}
    assert newer == {"bpf/a.c"}


def test_a_change_of_the_same_length_is_one(tmp_path: Path) -> None:
    copied(tmp_path, FILES)
    copied(tmp_path, FILES | {"run.sh": "trve"})
    assert contents(tmp_path)["run.sh"] == "trve"


class Recorder(Machine):
    """A machine in which nothing is done."""

    def __init__(self) -> None:
        self.commands: list[str] = []

    def run(self, script: str, *, seconds: float) -> None:
        assert seconds > 0
        self.commands.append(script)


def test_where_all_is_emulated_the_demo_is_asked_for_what_there_is_time_for() -> None:
    machine = Recorder()
    newcomer.demo(machine, emulated=False)
    newcomer.demo(machine, emulated=True)
    whole, part = machine.commands
    assert whole.endswith("sudo make demo")
    (said,) = [word for word in shlex.split(part) if word.startswith("ARGS=")]
    options = said.removeprefix("ARGS=").split()
    assert "--no-fail-over" in options
    subprocess.run([sys.executable, "-m", "tests.lab", "demo", *options, "--help"], check=True)
