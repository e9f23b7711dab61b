"""The Makefile, as make reads it."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LIMIT = 60.0  # seconds; it takes less than one


def test_no_variable_is_used_before_it_is_given() -> None:
    """A list of packages that is given further down counts as empty, and they are not installed."""
    done = subprocess.run(
        ["make", "--dry-run", "--warn-undefined-variables", "test", "ARGS="],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    # An argument that a call leaves out is a variable with a number.
    assert re.findall(r"undefined variable '\D.*", done.stderr) == []


# A project that needs nothing of the network: it builds itself, into the wheel that pip wants.
PYPROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "icelane"
version = "1"
optional-dependencies = { agent = [], dev = [] }
scripts = { icelane = "relay:main" }
"""
BACKEND = """\
import os, zipfile

FILES = {
    "icelane.pth": os.getcwd(),
    "icelane-1.dist-info/METADATA": "Metadata-Version: 2.1\\nName: icelane\\nVersion: 1\\n"
    "Provides-Extra: agent\\nProvides-Extra: dev\\n",
    "icelane-1.dist-info/WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\n"
    "Tag: py3-none-any\\n",
    "icelane-1.dist-info/entry_points.txt": "[console_scripts]\\nicelane = relay:main\\n",
    "icelane-1.dist-info/RECORD": "",
}

def build_editable(directory, settings=None, metadata=None):
    with zipfile.ZipFile(os.path.join(directory, "icelane-1-py3-none-any.whl"), "w") as wheel:
        for name, text in FILES.items():
            wheel.writestr(name, text)
    return "icelane-1-py3-none-any.whl"
"""
RELAY = """\
import sys

def main():
    print(__file__, sys.prefix, sep="\\n")
"""


@pytest.fixture
def checkout(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A project with our Makefile, whose program says where it and its interpreter are."""
    directory = tmp_path / str(getattr(request, "param", "checkout"))
    (directory / ".ci").mkdir(parents=True)
    (directory / ".ci" / "requirements.lock").touch()
    (directory / "relay.py").write_text(RELAY, "utf-8")
    (directory / "backend.py").write_text(BACKEND, "utf-8")
    (directory / "pyproject.toml").write_text(PYPROJECT, "utf-8")
    shutil.copy(ROOT / "Makefile", directory)
    return directory


# What would be installed for tests, which takes the network.
PLANNED = ("--dry-run", ".venv/.examples", "TEST_PACKAGES=")
INSTALLING = 300.0  # seconds; a limit, as pip takes its time where others work


def install(directory: Path, *targets: str, venv: str = ".venv") -> str:
    """Make the virtual environment, with a real pip; gives what make said."""
    wanted = targets or (f"{venv}/.runtime",)
    done = subprocess.run(
        ["make", "-C", directory, "--no-print-directory", *wanted, "PACKAGES=", f"VENV={venv}"],
        env=os.environ | {"PIP_NO_INDEX": "1", "PYTHONPATH": ""},
        check=False,
        capture_output=True,
        text=True,
        timeout=INSTALLING,
    )
    assert done.returncode == 0, done
    return done.stdout


def runs(directory: Path, venv: Path) -> bool:
    """Whether the environment's program is that directory's code, in that environment."""
    said = subprocess.run(
        [venv / "bin" / "icelane"],
        cwd="/",
        check=False,
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    return said.stdout.splitlines() == [str(directory / "relay.py"), str(venv)]


# Where a path has spaces, programs name their interpreter in another way, and URLs have no spaces.
@pytest.mark.parametrize("checkout", ["checkout", "a 100% checkout"], indirect=True)
def test_a_copy_with_its_environment_runs_its_own_code(checkout: Path) -> None:
    """The copy of the environment is newer than what it is made of, and the first one's still."""
    install(checkout)
    assert runs(checkout, checkout / ".venv")
    assert install(checkout) == "", "nothing to do"
    copy = checkout.with_name(f"{checkout.name}-0.1")
    shutil.copytree(checkout, copy, symlinks=True)
    assert not runs(copy, copy / ".venv")
    assert "which was made in another directory" in install(copy)
    assert runs(copy, copy / ".venv")
    assert install(copy) == "", "nothing to do"
    assert runs(checkout, checkout / ".venv"), "the first one is as it was"


def test_a_directory_that_was_moved_is_set_up_anew_with_all_it_had(checkout: Path) -> None:
    targets = [".venv/.dev", ".venv/.runtime"]
    install(checkout, *targets)
    (checkout / ".venv" / "clients" / "plugin").mkdir(parents=True)  # it has such paths, too
    for mark in (".clients", ".examples"):
        (checkout / ".venv" / mark).touch()
    installed = ["Installing WebRTC clients", "Installing what the examples need"]
    planned = install(checkout, *PLANNED)
    assert [words in planned for words in installed] == [False, False]
    moved = checkout.rename(checkout.with_name(f"{checkout.name}-0.1"))
    planned = install(moved, *PLANNED)
    assert [words in planned for words in installed] == [True, True]
    install(moved)
    assert runs(moved, moved / ".venv")
    assert not (moved / ".venv" / "clients").exists()
    assert "Installing Python packages" in install(moved, *targets), "those of tests are missing"
    assert "Installing" not in install(moved, *targets)


def test_an_environment_elsewhere_is_of_the_directory_that_used_it_last(
    checkout: Path, tmp_path: Path
) -> None:
    venv = tmp_path / "venv"
    another = checkout.with_name(f"{checkout.name}-0.1")
    shutil.copytree(checkout, another)
    install(checkout, venv=str(venv))
    (venv / "own").touch()
    assert "in place of another" in install(another, venv=str(venv))
    assert runs(another, venv)
    assert (venv / "own").exists(), "what is not ours stays"
    assert install(another, venv=str(venv)) == "", "nothing to do"


# What is installed besides for tests, as small as it can be.
MODULES = {"name": "none", "version": "1.0.0"}
LOCKED = MODULES | {"lockfileVersion": 3, "packages": {"": MODULES}}
PROGRAM = 'package main\n\nfunc main() { println("built") }\n'
OTHERS = {
    "tests/lab/clients/drivers/node/package.json": json.dumps(MODULES),
    "tests/lab/clients/drivers/node/package-lock.json": json.dumps(LOCKED),
    "tests/lab/clients/drivers/node/client.mjs": "",
    "tests/lab/clients/drivers/pion/main.go": PROGRAM,
    "docs/examples/node/package.json": json.dumps(MODULES),
    "docs/examples/node/package-lock.json": json.dumps(LOCKED),
    "docs/examples/pion/main.go": PROGRAM,
    "docs/fronting/icelane.go": "package fronting\n",
    "docs/fronting/pion/main.go": PROGRAM,
}


@pytest.mark.skipif(
    not (shutil.which("go") and shutil.which("npm")), reason="needs Go and npm: `make setup-test`"
)
@pytest.mark.parametrize("checkout", ["a 100% checkout"], indirect=True)
def test_clients_and_examples_are_built_where_a_path_has_spaces(checkout: Path) -> None:
    for name, text in OTHERS.items():
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_text(text, "utf-8")
    install(checkout, ".venv/.examples", "TEST_PACKAGES=")
    built = checkout / ".venv" / "clients"
    for program in ("pion", "examples/pion", "examples/fronting"):
        done = subprocess.run([built / program], check=True, capture_output=True, timeout=LIMIT)
        assert done.stderr == b"built\n"
    assert (built / "node" / "client.mjs").samefile(
        checkout / "tests" / "lab" / "clients" / "drivers" / "node" / "client.mjs"
    )


def test_where_spaces_cannot_be_make_says_so() -> None:
    done = subprocess.run(
        ["make", "-C", ROOT, "--dry-run", "setup", "VENV=a directory"],
        check=False,
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert done.returncode == 2
    assert 'VENV is a path without spaces: "a directory" is none.' in done.stderr
