"""What a terminal sends when a key is pressed, as names of keys. Pure."""

import re
from collections.abc import Iterator

_SEQUENCES = {
    "[A": "up",
    "[B": "down",
    "[C": "right",
    "[D": "left",
    "OA": "up",
    "OB": "down",
    "OC": "right",
    "OD": "left",
    "[5~": "pageup",
    "[6~": "pagedown",
    "[H": "home",
    "[F": "end",
    "OH": "home",
    "OF": "end",
    "[1~": "home",
    "[4~": "end",
    "[7~": "home",
    "[8~": "end",
    "[Z": "backtab",
}
_CONTROLS = {
    "\r": "enter",
    "\n": "enter",
    "\t": "tab",
    "\x7f": "backspace",
    "\b": "backspace",
    "\x15": "clear",  # Ctrl-U
    "\x0c": "redraw",  # Ctrl-L
}
_ESCAPED = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|O.)")


def read_keys(text: str) -> Iterator[str]:
    """The keys in what a terminal has sent: characters, or names such as ``up`` and ``enter``.

    What is no key that anybody asks for is left out. A sequence comes in one piece, so that an
    escape character that nothing follows is the key.
    """
    at = 0
    while at < len(text):
        sequence = _ESCAPED.match(text, at)
        if sequence is not None:
            at = sequence.end()
            name = _SEQUENCES.get(sequence[1])
            if name is not None:
                yield name
            continue
        character = text[at]
        at += 1
        if character == "\x1b":
            yield "escape"
        elif character in _CONTROLS:
            yield _CONTROLS[character]
        elif character.isprintable():
            yield character
