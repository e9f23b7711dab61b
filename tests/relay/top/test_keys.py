import pytest

from relay.top.keys import read_keys


@pytest.mark.parametrize(
    ("sent", "keys"),
    [
        ("q", ["q"]),
        ("\x1b[A\x1b[B\x1bOA\x1bOB", ["up", "down", "up", "down"]),
        ("\x1b[5~\x1b[6~\x1b[H\x1b[F\x1b[1~\x1b[4~", ["pageup", "pagedown", *2 * ["home", "end"]]),
        ("\r\n\t\x1b[Z", ["enter", "enter", "tab", "backtab"]),
        ("\x7f\b\x15\x0c", ["backspace", "backspace", "clear", "redraw"]),
        ("\x1b", ["escape"]),
        ("\x1b[15~\x1b[1;5Cx", ["x"]),
        ("10.1é", ["1", "0", ".", "1", "é"]),
        ("\x00\x01", []),
        ("", []),
    ],
    ids=repr,
)
def test_what_a_terminal_sends_becomes_keys(sent: str, keys: list[str]) -> None:
    assert list(read_keys(sent)) == keys
