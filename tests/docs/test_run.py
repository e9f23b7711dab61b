"""Blocks that are marked with ``<!-- run -->`` are typed, page by page, and show what they say."""

from pathlib import Path

import pytest

from tests.docs import shell
from tests.docs.machine import alike, machine
from tests.docs.shell import RUN_HERE, Block, Exchange

_SERVES = "ready"  # how the line begins that one sees of what goes on


def _marked() -> dict[str, list[Block]]:
    """The marked blocks by page, in their order."""
    found: dict[str, list[Block]] = {}
    for block in shell.blocks():
        if block.run_by == RUN_HERE:
            found.setdefault(block.page.name, []).append(block)
    return found


@pytest.mark.netns
@pytest.mark.parametrize("page", _marked())
def test_one_sees_what_the_page_shows(page: str, tmp_path: Path) -> None:
    with machine(tmp_path) as typed:
        for block in _marked()[page]:
            for each in block.dialogue or [Exchange(block.text, ["..."])]:
                serves = bool(each.shown) and each.shown[0].startswith(_SERVES)
                seen = typed.start(each.script) if serves else typed.type(each.script)
                wanted = each.shown[:1] if serves else each.shown
                assert alike(wanted, seen), "\n".join((block.place, each.script, *seen))


@pytest.mark.parametrize(
    ("shown", "seen", "result"),
    [
        (["Sent 152 packets in 3.0 s"], ["Sent   7 packets in 12.5 s"], True),
        (["Sent 152 packets"], ["Lost 152 packets"], False),
        (["AAABAAABAQ6f/08fnxWV8mtd6amU"], ["AAABAAABAQ+x/08fnxWV8mtd6bbU"], True),
        (["a", "...", "z"], ["a", "b", "c", "z"], True),
        (["a", "...", "z"], ["a", "b"], False),
        (["..."], [], True),
        (["a"], ["a", "b"], False),
    ],
)
def test_numbers_may_differ_and_words_may_not(
    shown: list[str], seen: list[str], result: bool
) -> None:
    assert alike(shown, seen) is result
