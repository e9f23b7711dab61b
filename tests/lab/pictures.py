"""``python -m tests.lab.pictures``: pictures for the documents, of what they show, at work."""

import io
import re
from contextlib import ExitStack
from pathlib import Path
from time import sleep

from rich.console import Console
from rich.text import Text

from tests.lab.call import Call
from tests.lab.config import Options
from tests.lab.lab import Lab
from tests.relay.cli.terminal import Terminal

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
COLUMNS, LINES = 110, 20
CALLS = 4
_FONTS = re.compile(r"\s*@font-face \{[^}]*\}")
SECONDS = 20.0  # that sparklines tell of


def draw_top() -> str:
    """`icelane top` beside calls through a relay of a lab, as SVG."""
    lab = Lab("pictures")
    lab.up(Options(dataplane="xdp", redis=True))
    try:
        with ExitStack() as calls:
            for _ in range(CALLS):
                calls.enter_context(Call(lab, SECONDS + 30))
                sleep(SECONDS / CALLS / 2)  # so that traffic grows, step by step
            with Terminal(
                "top", "--instance", "lab-pictures", columns=COLUMNS, lines=LINES
            ) as terminal:
                terminal.shows(f"{CALLS} confirmed")
                terminal.watch(SECONDS)
                terminal.type("\x1b[B")
                terminal.watch(1.5)
                return svg(terminal.frame, "icelane top")
    finally:
        lab.down()


def svg(frame: str, title: str) -> str:
    """What a terminal shows, with its colours."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    for line in frame.split("\n"):
        console.print(Text.from_ansi(line), soft_wrap=True)
    # Without the fonts that it would load from elsewhere: a monospaced one of the reader's will do.
    return _FONTS.sub("", console.export_svg(title=title))


if __name__ == "__main__":
    PICTURES.mkdir(exist_ok=True)
    (PICTURES / "top.svg").write_text(draw_top(), encoding="utf-8")
