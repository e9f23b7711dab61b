import os
import signal
import subprocess
import sys

import pytest

from tests.signals import handled

PROGRAM = """
import os, signal, time
from tests.signals import cleaned_up

def wait():
    while True:
        time.sleep(0.05)  # and not for a signal, which may come right before that

with cleaned_up():
    try:
        heard, says = os.pipe()
        if (child := os.fork()) == 0:
            os.write(says, b"there")
            wait()
        os.read(heard, 5)
        os.kill(child, signal.SIGTERM)
        os.waitpid(child, 0)
        print("made", flush=True)
        wait()
    finally:
        os.kill(os.getpid(), signal.SIGTERM)
        print("taken down", flush=True)
"""


def test_a_handler_is_there_for_as_long_as_it_is_wanted() -> None:
    before, heard = signal.getsignal(signal.SIGTERM), list[int]()
    with handled(lambda number, _: heard.append(number), signal.SIGTERM):
        os.kill(os.getpid(), signal.SIGTERM)
    assert heard == [signal.SIGTERM]
    assert signal.getsignal(signal.SIGTERM) is before


def test_it_goes_with_whatever_is_raised() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(RuntimeError), handled(signal.SIG_IGN, signal.SIGINT):
        raise RuntimeError
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_program_that_is_told_to_end_cleans_up(number: signal.Signals) -> None:
    """Only it does, not a child that has its handlers; and it is not disturbed by one more."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "made\n"
        program.send_signal(number)
        assert program.stdout.read() == "taken down\n"
    assert program.returncode == 128 + number
