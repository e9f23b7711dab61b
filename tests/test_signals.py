import os
import signal

import pytest

from tests.signals import handled


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
