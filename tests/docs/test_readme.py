"""What README says again of other pages is what they say, and its links lead somewhere."""

import re
from collections import Counter
from pathlib import Path

from tests.docs import shell
from tests.docs.shell import ROOT

README = (ROOT / "README.md").read_text("utf-8")


def test_it_is_short() -> None:
    assert len(README.splitlines()) <= 200


def test_its_figures_are_those_of_the_benchmarks() -> None:
    part = README.split("## What the kernel path buys")[1].split("## ")[0]
    names, _, figures = (
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in part.splitlines()
        if line.startswith("|")
    )
    benchmarks = (ROOT / "docs/benchmarks.md").read_text("utf-8")
    table = benchmarks.split("**thousand packets a second")[1].split("The same, divided")[0]
    head, _, *rows = (
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in table.splitlines()
        if line.startswith("|")
    )
    column = head.index("100 flows")
    measured = {row[0]: row[column].split(" (")[0] for row in rows}
    there = {"relay in C": "C relay", "relay in Go": "Go relay", "nginx": "nginx stream"}
    of = {name: there.get(name, name.lower().replace(",", "")) for name in names}
    assert {name: measured[of[name]] for name in names} == dict(zip(names, figures, strict=True))


def test_anchors_are_headings() -> None:
    lost = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in shell.pages()
        for target in re.findall(r"\]\(([^):\s]*#[^)\s]*)\)", page.read_text("utf-8"))
        if not _leads(page, *target.split("#"))
    ]
    assert lost == []


def _leads(page: Path, file: str, anchor: str) -> bool:
    there = (page.parent / file).resolve() if file else page
    return there.exists() and anchor in _anchors(there)


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as forges make them."""
    found: Counter[str] = Counter()
    anchors = set()
    text = re.sub(r"^ *```.*?^ *```$", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE):
        shown = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", shown).replace(" ", "-")
        anchors.add(f"{anchor}-{found[anchor]}" if found[anchor] else anchor)
        found[anchor] += 1
    return anchors
