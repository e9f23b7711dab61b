"""What the documentation shows is accepted by what it documents."""

import re
from pathlib import Path

import pytest

from relay.cli.tree import TREE

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize(
    ("section", "file_setting"),
    [("relay", "registry"), ("transceiver", "keys"), ("signaling", "registry")],
)
def test_the_settings_file_serves_every_service(
    tmp_path: Path, section: str, file_setting: str
) -> None:
    text = (DOCS / "relay.md").read_text("utf-8")
    (toml,) = re.findall(r"```toml\n# icelane\.toml.*?\n(.*?)```", text, flags=re.DOTALL)
    file = tmp_path / "icelane.toml"
    file.write_text(toml)
    settings = TREE[section].load({}, tree=TREE, file=file)
    assert getattr(settings, file_setting) == tmp_path / f"{file_setting}.toml"


def test_every_setting_of_a_relay_is_explained() -> None:
    text = (DOCS / "relay.md").read_text("utf-8")
    explained = set(
        re.findall(r"`([a-z-]+)`", "".join(re.findall(r"^\| (`.*?) \|", text, flags=re.MULTILINE)))
    )
    settings = {name.replace("_", "-") for name in TREE["relay"].model_fields}
    assert settings <= explained


def test_links_between_documents_lead_somewhere() -> None:
    dead = [
        f"{page.name}: {target}"
        for page in [
            *DOCS.rglob("*.md"),
            *DOCS.parent.glob("*.md"),
            *DOCS.parent.glob("vagrant/*.md"),
        ]
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8"))
        if not (page.parent / target).exists()
    ]
    assert dead == []


def test_documents_name_files_that_are_there() -> None:
    named = [
        f"{page.name}: {path}"
        for page in DOCS.rglob("*.md")
        for path in re.findall(
            r"`((?:bpf|relay|transceiver|signaling|tests|vagrant)/[\w./]+\.\w+)`",
            page.read_text("utf-8"),
        )
        if not (DOCS.parent / path).exists()
    ]
    assert named == []


def test_tests_that_documents_name_are_there() -> None:
    missing = [
        f"{page.name}: {path}::{name}"
        for page in DOCS.rglob("*.md")
        for path, name in re.findall(r"`(tests/[\w./]+\.py)::(\w+)`", page.read_text("utf-8"))
        if f"def {name}(" not in (DOCS.parent / path).read_text("utf-8")
    ]
    assert missing == []
