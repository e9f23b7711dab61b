"""`icelane keys`."""

import os
import stat
from pathlib import Path

from relay.config.keyfile import load_keys
from tests.relay.cli.commands import icelane, refused


class TestNew:
    def test_a_key_file_is_for_its_owner_alone(self, tmp_path: Path) -> None:
        before = os.umask(0)
        try:
            result = icelane("keys", "new", tmp_path / "keys.toml")
        finally:
            os.umask(before)
        assert result.stdout == f"wrote {tmp_path}/keys.toml\n"
        assert stat.S_IMODE((tmp_path / "keys.toml").stat().st_mode) == 0o600

    def test_each_holds_a_key_of_its_own(self, tmp_path: Path) -> None:
        rings = set()
        for name in ("one", "two"):
            icelane("keys", "new", tmp_path / name)
            rings.add(load_keys(tmp_path / name).dumps())
        assert len(rings) == 2

    def test_nothing_is_overwritten(self, keys: Path) -> None:
        before = keys.read_bytes()
        assert "exists: remove it first" in refused(icelane("keys", "new", keys))
        assert keys.read_bytes() == before

    def test_nothing_is_written_through_a_link(self, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
        assert "exists" in refused(icelane("keys", "new", tmp_path / "link"))
        assert not (tmp_path / "elsewhere").exists()

    def test_a_path_that_cannot_be_written_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / "missing" / "keys.toml"
        assert f"cannot write {path}: No such file" in refused(icelane("keys", "new", path))

    def test_the_key_is_not_printed(self, keys: Path, tmp_path: Path) -> None:
        master = keys.read_text().split('"')[1]
        assert len(master) == 64
        for path in (tmp_path / "more", keys):
            assert master not in icelane("keys", "new", path).output
