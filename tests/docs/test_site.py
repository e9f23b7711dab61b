"""The site is built without a warning, and its pages load nothing from elsewhere."""

import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.docs.shell import ROOT

# Elements that a browser loads by itself, and the attributes that say from where.
_LOADS = {"script": "src", "img": "src", "iframe": "src", "source": "src", "object": "data"}
_LINKS = ("stylesheet", "icon", "preconnect", "dns-prefetch", "preload", "prefetch", "manifest")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    built = tmp_path_factory.mktemp("site")
    command = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--config-file",
        ".mkdocs.yml",
        "--strict",
        "--site-dir",
    ]
    ran = subprocess.run(
        [*command, str(built)], cwd=ROOT, capture_output=True, text=True, check=False, timeout=300
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return built


def test_every_page_is_in_the_site(site: Path) -> None:
    pages = {page.relative_to(ROOT / "docs") for page in (ROOT / "docs").rglob("*.md")}
    built = {page.relative_to(site) for page in site.rglob("*.html")}
    wanted = {
        page.with_name("index.html" if page.name == "README.md" else f"{page.stem}.html")
        for page in pages
    }
    assert wanted - built == set()


def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    loaded = {
        (page.name, url)
        for page in site.rglob("*.html")
        for url in _loaded(page.read_text("utf-8"))
    }
    assert any(url.endswith(".js") for _, url in loaded)
    assert [each for each in sorted(loaded) if "//" in each[1]] == []
    for sheet in site.rglob("*.css"):
        assert "url(http" not in sheet.read_text("utf-8").replace('"', ""), sheet


def _loaded(html: str) -> Iterator[str]:
    found: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            values = dict(attrs)
            if tag == "link" and any(kind in (values.get("rel") or "") for kind in _LINKS):
                found.append(values.get("href") or "")
            elif url := values.get(_LOADS.get(tag, "")):
                found.append(url)

    Reader().feed(html)
    yield from found
