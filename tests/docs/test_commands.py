"""Every command that README and documentation show would be taken as it is written."""

import pytest

from tests.docs import shell
from tests.docs.accepted import complaint
from tests.docs.shell import ROOT, Block

_OURS = ("icelane", "make", "python")


@pytest.mark.parametrize("block", shell.blocks(), ids=lambda block: block.place)
def test_the_commands_of_a_block_are_taken(block: Block) -> None:
    commands = list(shell.commands(block.script))
    assert commands
    wrong = [(" ".join(words), why) for words in commands if (why := complaint(words))]
    assert wrong == []


def test_commands_within_the_text_exist() -> None:
    wrong = [
        f"{place}: {' '.join(words)}: {why}"
        for place, words in shell.spans()
        if words and words[0].removeprefix(".venv/bin/") in _OURS
        if (why := complaint(words, whole=False))
    ]
    assert wrong == []


def test_every_block_says_what_it_is() -> None:
    silent = [
        block.place for page in shell.pages() for block in shell.fenced(page) if not block.language
    ]
    assert silent == [], "write ```sh, ```console (with `$ `) or ```text"


def test_what_is_said_to_run_a_block_is_there() -> None:
    blocks = [block for block in shell.blocks() if block.run_by]
    assert blocks
    assert [each.place for each in blocks if not (ROOT / each.run_by).exists()] == []


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("icelane relay walk", "there is no command relay walk"),
        ("icelane relay run --vipp 192.0.2.1:3478", "No such option: --vipp"),
        ("icelane keys new", "FILE is missing: "),
        ("icelane keys new one.toml two.toml", "Got unexpected extra argument(s) (two.toml)"),
        ("make demos", "the Makefile has no target demos"),
        ("make demo SECONDS=3", "the Makefile has no variable SECONDS"),
        ("make lab-up ARGS=--dataplan", "No such option: --dataplan"),
        ("python -m tests.bench nothing", "there is no command nothing"),
        ("python -m tests.nothing", "No module named 'tests.nothing'"),
        ("icelane keys list keys.toml --json", None),
        ("make lab-up ARGS=--nat", None),
        ("ls --nonsense", None),
    ],
)
def test_a_wrong_command_is_found(command: str, why: str | None) -> None:
    said = complaint(command.split())
    assert (said or "").split(" Did you mean")[0].startswith(why or "")
    assert bool(said) == bool(why)


def test_a_script_is_read_as_a_shell_reads_it() -> None:
    script = """\
make demo   # what it does
KEY=1 icelane up --listen \\
    127.0.0.1:1 >log 2>&1 && cat <<'END' > file
make nonsense
END
(umask 077; echo "a b") | wc
"""
    assert list(shell.commands(script)) == [
        ["make", "demo"],
        ["icelane", "up", "--listen", "127.0.0.1:1"],
        ["cat"],
        ["umask", "077"],
        ["echo", "a b"],
        ["wc"],
    ]
