"""The commands that README and documentation show, in blocks and within the text.

A block of `sh` has commands alone, one of `console` has prompts (`$ `) and what one sees. A comment
above a block says what runs it: ``<!-- run -->`` is `tests/docs/test_run.py`, and ``<!-- run by
FILE -->`` a test or a script. All others are parsed only.
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
RUN_HERE = "tests/docs/test_run.py"

_FENCE = re.compile(r"^ *```(\w*)$")
_RUN = re.compile(r"^<!-- run(?: by (\S+))? -->$")
_SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_HERE = re.compile(r"<<'?(\w+)'?.*?^\1$", re.DOTALL | re.MULTILINE)
_ENDS = re.compile(r"[|&;()]+")
_REDIRECTION = re.compile(r"[<>]+&?")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=.*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block.

    Attributes:
        page: Where it is.
        line: The line of its fence, from 1 on.
        language: What stands behind the fence.
        text: What is in it.
        run_by: The test or script that runs it, from the root of the repository; "" for none.
    """

    page: Path
    line: int
    language: str
    text: str
    run_by: str

    @property
    def place(self) -> str:
        """For people."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def script(self) -> str:
        """Its commands as a shell would read them."""
        if self.language != "console":
            return self.text
        return "".join(f"{each.script}\n" for each in self.dialogue)

    @property
    def dialogue(self) -> list["Exchange"]:
        """Of a block with prompts: each command, and what one sees of it."""
        exchanges: list[Exchange] = []
        if self.language != "console":
            return exchanges
        goes_on = False
        for line in self.text.splitlines():
            if line.startswith("$ "):
                exchanges.append(Exchange(line[2:], []))
            elif goes_on:
                exchanges[-1].script += f"\n{line}"
            else:
                exchanges[-1].shown.append(line)
            goes_on = (line.startswith("$ ") or goes_on) and line.endswith("\\")
        return exchanges


@dataclass
class Exchange:
    """A command at a prompt, and the lines that one sees."""

    script: str
    shown: list[str]


def pages() -> list[Path]:
    """README and all pages; not the changelog, which tells of what was, too."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "vagrant/README.md"]


def fenced(page: Path) -> Iterator[Block]:
    """All fenced blocks of a page."""
    language: str | None = None
    body: list[str] = []
    start, run_by, above = 0, "", ""
    for number, line in enumerate(page.read_text("utf-8").splitlines(), 1):
        fence = _FENCE.match(line)
        if fence and language is None:
            language, start, body = fence[1], number, []
            marked = _RUN.match(above)
            run_by = (marked[1] or RUN_HERE) if marked else ""
        elif fence:
            yield Block(page, start, language or "", "".join(f"{each}\n" for each in body), run_by)
            language = None
        elif language is not None:
            body.append(line)
        above = line


def blocks() -> list[Block]:
    """The blocks with commands, of all pages."""
    return [
        block for page in pages() for block in fenced(page) if block.language in ("sh", "console")
    ]


def commands(script: str) -> Iterator[list[str]]:
    """The commands of a script, each as its words: without assignments before it, and redirections.

    Enough for documentation: what is within quotes or behind `$(` is a word like others.

    Raises:
        ValueError: A quotation has no end in its line.
    """
    for line in _HERE.sub("", script).replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] = []
        skip = False
        for token in (*lexer, ";"):
            if _ENDS.fullmatch(token):
                if words:
                    yield words
                words = []
            elif _REDIRECTION.fullmatch(token):
                skip = True
                if words and words[-1] in ("1", "2"):  # a descriptor
                    words.pop()
            elif skip:
                skip = False
            elif words or not _ASSIGNMENT.fullmatch(token):
                words.append(token)


def spans() -> Iterator[tuple[str, list[str]]]:
    """Commands within the text of pages: where each is, and its words as they stand there."""
    for page in pages():
        inside = False
        for number, line in enumerate(page.read_text("utf-8").splitlines(), 1):
            inside ^= bool(_FENCE.match(line))
            if not inside:
                for span in _SPAN.findall(line):
                    yield f"{page.relative_to(ROOT)}:{number}", _words(span.replace("\\|", "|"))


def _words(span: str) -> list[str]:
    try:
        return shlex.split(span)
    except ValueError:  # a quotation that ends elsewhere: no command
        return span.split()
