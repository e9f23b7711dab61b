"""What is made of the code is of the code as it is."""

from pathlib import Path

import pytest

from relay.cli.main import app
from relay.cli.tree import TREE
from tests.docs import header
from tests.docs.pages import COMMAND, DOCS, PAGES


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_the_page_is_of_the_code_as_it_is(path: Path) -> None:
    assert path.read_text("utf-8") == PAGES[path](), f"make it anew: {COMMAND}"


def test_every_command_has_a_section() -> None:
    from typer.main import get_command

    page = (DOCS / "cli.md").read_text("utf-8")
    root = get_command(app)
    named = [
        f"icelane {name}" + (f" {below}" if below else "")
        for name in root.list_commands(None)  # type: ignore[attr-defined]  # a group
        for below in ("", *getattr(root.get_command(None, name), "commands", ()))  # type: ignore[attr-defined]
    ]
    assert "icelane relay run" in named
    assert [name for name in named if f"# `{name}`\n" not in page] == []


def test_every_setting_has_a_line() -> None:
    page = (DOCS / "configuration.md").read_text("utf-8")
    for section, model in TREE.items():
        (part,) = [part for part in page.split("\n## ") if part.startswith(f"`[{section}]`")]
        lines = [line.split("`")[1] for line in part.splitlines() if line.startswith("| `")]
        assert lines == [name.replace("_", "-") for name in model.model_fields]


def test_every_struct_and_map_of_the_sources_is_found() -> None:
    relay, maps = ((header.BPF / name).read_text("utf-8") for name in ("relay.h", "maps.h"))
    assert len(header.structs()) == sum(line.startswith("struct ") for line in relay.splitlines())
    tables = [line for line in maps.splitlines() if line.startswith(("BPF_TABLE", "BPF_F_TABLE"))]
    assert len(header.maps()) == len(tables)
