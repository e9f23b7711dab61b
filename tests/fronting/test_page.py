"""What docs/fronting.md shows is so."""

import importlib
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from relay.config.registry import Registry
from relay.wire.keys import KeyRing
from tests.fronting.vectors import PATH

ROOT = PATH.parents[2]
PAGE = (ROOT / "docs" / "fronting.md").read_text("utf-8")
PUBLIC = re.findall(r"`(relay\.wire\.\w+)\.(\w+)`", PAGE)


@pytest.mark.parametrize(("module", "name"), PUBLIC)
def test_public_names_are_there_and_explained(module: str, name: str) -> None:
    found = getattr(importlib.import_module(module), name)
    assert not callable(found) or found.__doc__


def test_the_package_itself_says_what_is_public() -> None:
    package = importlib.import_module("relay.wire").__doc__ or ""
    assert PUBLIC
    assert not [name for _, name in PUBLIC if not re.search(rf"\b{name}\b", package)]


def test_the_registry() -> None:
    (text,) = re.findall(r"```toml\n# registry\.toml\n(.*?)```", PAGE, flags=re.DOTALL)
    (transceiver,) = Registry.of(tomllib.loads(text)).transceivers
    assert (str(transceiver.address), transceiver.control) == ("192.0.2.2:5000", None)


def test_the_example_in_python(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    keys = tmp_path / "keys.toml"
    keys.write_text(KeyRing.generate(os.urandom).dumps(), "ascii")
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert re.fullmatch(r"[A-Za-z0-9+/]{28} 1/1\.1\n", ran.stdout)


@pytest.mark.parametrize("language", ["go", "js"])
def test_what_is_shown_of_a_server_is_in_the_example(language: str) -> None:
    (shown,) = re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)
    example = {"go": "pion/main.go", "js": "datachannel.mjs"}[language]
    called = set(re.findall(r"(\w+)\(", shown)) | set(re.findall(r"(\w+): ", shown))
    text = (PATH.parent / example).read_text("utf-8")
    assert called
    assert not [name for name in sorted(called) if not re.search(rf"\b{name}\b", text)]
