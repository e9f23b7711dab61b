"""Standard output, wherever it leads."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PRINTING = """
import sys
from relay.errors import OutputError
from relay.streams import usable_output
try:
    with usable_output():
        {body}
except OutputError as error:
    sys.exit(str(error))
"""
FULL = "Standard output cannot be written (No space left on device): send it elsewhere.\n"


def printed(
    body: str, *, stdout: int | None = subprocess.PIPE, encoding: str = "utf-8"
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-c", PRINTING.format(body=body)],
        stdout=stdout,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONIOENCODING": encoding},
        check=False,
    )


def test_what_the_encoding_lacks_is_replaced() -> None:
    ran = printed("print('✓ 1 → 2')", encoding="ascii")
    assert (ran.returncode, ran.stdout) == (0, b"? 1 ? 2\n")


@pytest.mark.parametrize(
    "body", ["print('x')", "print('x', flush=True)", "print('x'); sys.exit(7)"]
)
def test_a_full_disk_is_a_sentence(body: str) -> None:
    with Path("/dev/full").open("wb") as full:
        ran = printed(body, stdout=full.fileno())
    assert (ran.returncode, ran.stderr.decode()) == (1, FULL)


@pytest.mark.parametrize("body", ["print('x')", "print('x', flush=True)"])
def test_a_reader_that_has_gone_ends_it_without_a_word(body: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    ran = printed(body, stdout=writing)
    os.close(writing)
    assert (ran.returncode, ran.stderr) == (141, b"")  # as a shell tells it of SIGPIPE


def test_without_standard_output_nothing_is_printed() -> None:
    command = [sys.executable, "-c", PRINTING.format(body="print('x')")]
    ran = subprocess.run(
        ["sh", "-c", '"$@" >&-', "sh", *command], stderr=subprocess.PIPE, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, b"")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_buffers_do_not_matter(unbuffered: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    with Path("/dev/full").open("wb") as full:
        ran = printed("print('x')", stdout=full.fileno())
    assert (ran.returncode, ran.stderr.decode()) == (1, FULL)


def test_errors_of_something_else_stay_what_they_are() -> None:
    ran = printed("raise OSError(28, 'of a file')")
    assert ran.returncode == 1
    assert ran.stderr.decode().endswith("OSError: [Errno 28] of a file\n")
