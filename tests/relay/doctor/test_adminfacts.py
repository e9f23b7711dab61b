"""Whether an agent could listen: `tests.e2e.test_broken` has full and read-only directories."""

from pathlib import Path

import pytest

from relay.config.privatefiles import Reader
from relay.doctor.adminfacts import admin
from relay.doctor.finding import Verdict

OK, FAIL = Verdict.OK, Verdict.FAIL
SERVICE = Reader(61_234, {61_234})


@pytest.mark.parametrize(
    ("name", "verdict", "fix"),
    [
        ("a.sock", OK, ""),
        ("no/a.sock", FAIL, "make "),
        (f"{'x' * 110}.sock", FAIL, "107 bytes or less"),
    ],
)
def test_paths(tmp_path: Path, name: str, verdict: Verdict, fix: str) -> None:
    found = admin(tmp_path / name, None, running=False)
    assert found.verdict is verdict
    assert fix in found.fix


def test_the_relay_itself_has_it(tmp_path: Path) -> None:
    assert admin(tmp_path / "no" / "a.sock", None, running=True).verdict is OK


def test_a_user_who_may_not_write_there(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    found = admin(tmp_path / "a.sock", SERVICE, running=False)
    assert found.verdict is FAIL
    assert f"let this user write to {tmp_path}" in found.fix


def test_a_directory_that_is_made_for_the_user(tmp_path: Path) -> None:
    assert admin(tmp_path / "own" / "a.sock", SERVICE, running=False).verdict is OK
