"""The Vagrantfile is valid, and provisions as `make vm-test` does."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from vagrant import newcomer

HERE = Path(__file__).parents[2] / "vagrant"
TEXT = (HERE / "Vagrantfile").read_text("utf-8")


@pytest.mark.skipif(shutil.which("vagrant") is None, reason="needs vagrant")
@pytest.mark.parametrize("wheels", [False, True], ids=["PyPI", "packages of this host"])
def test_it_is_valid(wheels: bool, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "VAGRANT_HOME": str(tmp_path / "home"),
        "VAGRANT_DOTFILE_PATH": str(tmp_path / "dot"),
        "VAGRANT_CHECKPOINT_DISABLE": "1",
    }
    environment |= {"ICELANE_WHEELS": str(tmp_path)} if wheels else {}
    ran = subprocess.run(
        ["vagrant", "validate", "--ignore-provider"],
        cwd=HERE,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "validated successfully" in ran.stdout


def test_it_provisions_with_the_script_of_the_image() -> None:
    assert 'path: "provision.sh"' in TEXT
    assert "provision.sh" in (HERE / "image.sh").read_text("utf-8")


def test_what_git_ignores_stays_where_it_was_made() -> None:
    # As in `make vm-test`: a program that was compiled for this kernel is none for the machine's.
    rule = "--filter=:- .gitignore"
    assert rule in TEXT
    assert rule in newcomer.copy_script("icelane").replace("'", "")
