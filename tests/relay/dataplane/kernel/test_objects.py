"""Where the compiled program is kept, and what happens where it is missing, stale or damaged."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from relay.dataplane.kernel import objects, sources
from relay.dataplane.kernel.bpfobject import BpfObject
from relay.errors import DataplaneError

pytestmark = pytest.mark.bpf

Places = tuple[Path, Path]


@pytest.fixture(scope="module")
def built() -> BpfObject:
    return objects.find_or_build().object


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Places]:
    """A directory of sources and one for the rest, with no object in either."""
    beside, cache = tmp_path / "bpf", tmp_path / "cache"
    shutil.copytree(sources.source_directory(), beside, ignore=shutil.ignore_patterns(objects.NAME))
    monkeypatch.setattr(objects, "source_directory", lambda: beside)
    monkeypatch.setattr(objects, "CACHE", cache)
    yield beside, cache
    beside.chmod(0o755)


def test_a_missing_one_is_built_once_and_kept_beside_its_sources(places: Places) -> None:
    first = objects.find_or_build()
    assert first.built_in is not None
    assert first.path == places[0] / objects.NAME
    assert str(first).startswith("compiled now in ")
    again = objects.find_or_build()
    assert (again.object, again.built_in) == (first.object, None)
    assert str(again) == f"compiled before ({first.path})"


def test_where_sources_cannot_be_written_it_is_kept_elsewhere(
    places: Places, built: BpfObject, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Path.write_text

    def refuse(path: Path, text: str, **options: str) -> int:
        if path.parent == places[0]:
            raise OSError(30, "Read-only file system")
        return write(path, text, **options)

    monkeypatch.setattr(Path, "write_text", refuse)
    kept = objects._keep(built)
    assert kept is not None
    assert kept.parent == places[1]
    found = objects.find()
    assert found is not None
    assert found.path == kept


def test_nothing_is_left_where_it_cannot_be_put(places: Places, built: BpfObject) -> None:
    (places[0] / objects.NAME).mkdir()  # a file does not take the place of a directory
    before = set(places[0].iterdir())
    kept = objects._keep(built)
    assert kept is not None
    assert kept.parent == places[1]
    assert set(places[0].iterdir()) == before


@pytest.mark.usefixtures("places")
def test_one_that_cannot_be_used_is_none(built: BpfObject) -> None:
    path = objects._keep(built)
    assert path is not None
    assert objects.find() is not None
    for content in (b"{", b"\xff\xfe", replace(built, key=bytes(32)).dumps().encode()):
        path.write_bytes(content)
        assert objects.find() is None


@pytest.mark.usefixtures("places")
def test_one_of_somebody_else_is_none(built: BpfObject) -> None:
    path = objects._keep(built)
    assert path is not None
    os.chown(path, 65534, 65534)
    assert objects.find() is None


@pytest.mark.usefixtures("places")
def test_a_build_that_takes_too_long_is_stopped_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "BUILD_LIMIT", 0.05)
    with pytest.raises(DataplaneError, match=r"so it was stopped: .*`icelane relay build`"):
        objects.build()


@pytest.mark.usefixtures("places")
def test_without_bcc_it_is_said_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "bcc.py").write_text("raise ImportError", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(DataplaneError, match="apt-get install python3-bpfcc"):
        objects.find_or_build()


@pytest.mark.usefixtures("places")
def test_two_builds_are_the_same(built: BpfObject) -> None:
    assert objects.build().object == built
