"""What `make audit` says, and ends with, by what pip-audit says."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SOUND = {"name": "pytest", "version": "9.0", "vulns": []}
FAULTY = {
    "name": "aiohttp",
    "version": "3.1",
    "vulns": [{"id": "GHSA-1", "fix_versions": ["3.2"]}, {"id": "GHSA-2", "fix_versions": []}],
}
UNKNOWN = {"name": "nosuch", "skip_reason": "Dependency not found"}


def audit(
    tmp_path: Path, said: str, code: int, errors: str = "", *options: str
) -> subprocess.CompletedProcess[str]:
    """Run it with a program in place of pip-audit, which needs the Internet."""
    program = tmp_path / "pip-audit"
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{said}\nEND\necho '{errors}' >&2\nexit {code}\n")
    program.chmod(0o755)
    command = [sys.executable, "-m", "tests.audit", str(program), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def listed(*dependencies: object) -> str:
    return json.dumps({"dependencies": dependencies, "fixes": []})


def test_none_known(tmp_path: Path) -> None:
    ran = audit(tmp_path, listed(SOUND), 0)
    assert (ran.returncode, ran.stdout) == (0, "1 locked dependencies, 0 known advisories\n")


def test_some_known(tmp_path: Path) -> None:
    ran = audit(tmp_path, listed(SOUND, FAULTY), 1)
    assert ran.returncode == 1
    assert ran.stdout.splitlines() == [
        "aiohttp 3.1: GHSA-1, fixed in 3.2",
        "aiohttp 3.1: GHSA-2, fixed in no release",
        "2 locked dependencies, 2 known advisories",
    ]
    told = json.loads(audit(tmp_path, listed(FAULTY), 1, "", "--json").stdout)
    assert [each["id"] for each in told["advisories"]] == ["GHSA-1", "GHSA-2"]


@pytest.mark.parametrize(
    ("said", "errors", "words"),
    [
        ("", "Traceback\nConnectionError: no such host", "no such host"),
        (listed(SOUND, UNKNOWN), "", "does not know nosuch"),
    ],
)
def test_nobody_could_be_asked(tmp_path: Path, said: str, errors: str, words: str) -> None:
    """Nothing found is not the same as nothing looked at."""
    ran = audit(tmp_path, said, 1, errors)
    assert (ran.returncode, ran.stdout) == (3, "")
    assert words in ran.stderr
    assert "Traceback" not in ran.stderr


def test_there_is_no_pip_audit(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.audit", str(tmp_path / "nothing")]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 3
    assert "nothing was checked" in ran.stderr
