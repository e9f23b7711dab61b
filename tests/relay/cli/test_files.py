"""A file that cannot be used ends a command in one line, with the remedy that helps."""

import socket
import subprocess
from pathlib import Path

import pytest

from tests.relay.cli.commands import ICELANE, LIMIT, icelane, refused

CALL = ("call", "http://127.0.0.1:1", "--seconds", "1")
# The last argument is the file.
READ = {
    "key file": ("ufrag", "mint", "--cluster=1", "--slot=1", "--generation=1", "--keys"),
    "registry": ("signaling", "run", "--listen", "127.0.0.1:8080", "--registry"),
    "settings": ("relay", "run", "--config"),
    "audio": (*CALL, "--wav"),
}
WRITTEN = {"key file": ("keys", "new"), "recording": (*CALL, "--record")}
MISSING = {
    "key file": "No such file or directory; make one with `icelane keys new`",
    "audio": "No such file or directory; give an audio file, such as WAV, FLAC, MP3 or Ogg",
}
CODES = {"audio": 3, "recording": 3}  # of a call


def without_privileges(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command as root that has no more rights than the files' owner."""
    drop = ("setpriv", "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs", "--")
    command = [*drop, ICELANE, *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=LIMIT)


@pytest.mark.parametrize("what", READ)
class TestRead:
    def test_missing(self, tmp_path: Path, what: str) -> None:
        said = refused(icelane(*READ[what], tmp_path / "file"), CODES.get(what, 2))
        assert said.endswith(MISSING.get(what, "No such file or directory"))
        assert str(tmp_path / "file") in said

    def test_a_directory(self, tmp_path: Path, what: str) -> None:
        said = refused(icelane(*READ[what], tmp_path), CODES.get(what, 2))
        assert str(tmp_path) in said
        assert said.endswith(": Is a directory; name a file in it")

    @pytest.mark.netns
    def test_of_somebody_else(self, tmp_path: Path, what: str) -> None:
        path = tmp_path / "file"
        path.touch(mode=0)
        done = without_privileges(*READ[what], path)
        assert (done.returncode, done.stdout) == (CODES.get(what, 2), "")
        (line,) = done.stderr.splitlines()
        assert str(path) in line
        assert line.endswith("Permission denied; let this user read it, or run this as its owner")


@pytest.mark.parametrize("what", WRITTEN)
class TestWritten:
    def test_in_a_directory_that_is_missing(self, tmp_path: Path, what: str) -> None:
        said = refused(icelane(*WRITTEN[what], tmp_path / "a" / "b"), CODES.get(what, 2))
        assert said.endswith("No such file or directory; make its directory first")

    def test_over_a_directory(self, tmp_path: Path, what: str) -> None:
        said = refused(icelane(*WRITTEN[what], tmp_path), CODES.get(what, 2)).lower()
        assert said.endswith("is a directory; name a file in it")

    @pytest.mark.netns
    def test_where_one_may_not(self, tmp_path: Path, what: str) -> None:
        tmp_path.chmod(0o500)
        done = without_privileges(*WRITTEN[what], tmp_path / "file")
        assert (done.returncode, done.stdout) == (CODES.get(what, 2), "")
        (line,) = done.stderr.splitlines()
        assert line.endswith("Permission denied; name one that this user may write")


@pytest.mark.netns
def test_the_admin_socket_of_somebody_else(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    with socket.socket(socket.AF_UNIX) as agent:
        agent.bind(str(path))
        agent.listen()
        path.chmod(0)
        done = without_privileges("dataplane", "switch", "userspace", "--admin", path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"icelane: no agent answers at {path}: Permission denied; run this as its user\n"
    )
