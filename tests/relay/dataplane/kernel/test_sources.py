from pathlib import Path

import pytest

from relay.dataplane.kernel import sources


def test_all_c_files_count_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sources.current_key()
    assert set(sources.MAIN) <= set(sources.sources())
    for name, content in sources.sources().items():
        (tmp_path / name).write_bytes(content)
    monkeypatch.setattr(sources, "source_directory", lambda: tmp_path)
    (tmp_path / "relay.bpf.json").write_text("{}")
    assert sources.current_key() == before
    (tmp_path / "relay.h").write_text("/* changed */")
    assert sources.current_key() != before
