"""What the documentation shows is accepted by what it documents."""

import re
import tomllib
from pathlib import Path

import pytest

from relay.cli.tree import TREE
from relay.config.registry import Registry

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


@pytest.mark.parametrize(
    ("name", "section"), [("relay", "relay"), ("voice", "transceiver"), ("voice", "signaling")]
)
def test_the_files_of_a_site_on_bare_metal_are_taken(
    tmp_path: Path, name: str, section: str
) -> None:
    text = (DOCS / "bare-metal.md").read_text("utf-8")
    (toml,) = re.findall(rf"```toml\n# {name}\.toml\n(.*?)```", text, flags=re.DOTALL)
    file = tmp_path / f"{name}.toml"
    file.write_text(toml)
    assert TREE[section].load({}, tree=TREE, file=file)


def test_the_registry_of_a_site_on_bare_metal() -> None:
    text = (DOCS / "bare-metal.md").read_text("utf-8")
    (toml,) = re.findall(r"```toml\n(\[\[relay.*?)```", text, flags=re.DOTALL)
    (transceiver,) = Registry.of(tomllib.loads(toml)).transceivers
    assert str(transceiver.address) == "192.0.2.2:5000"


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
