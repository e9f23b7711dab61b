from pathlib import Path

import pytest

from relay.config.toml import read_toml, unknown
from relay.errors import ConfigError


def test_a_document_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text('[relay]\nvip = "203.0.113.10:3478"\n')
    assert read_toml(path, "settings") == {"relay": {"vip": "203.0.113.10:3478"}}


@pytest.mark.parametrize("content", [b"\xef\xbb\xbfa = 1\nb = 2\n", b"a = 1\r\nb = 2\r\n"])
def test_so_is_one_of_an_editor_of_windows(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(content)
    assert read_toml(path, "settings") == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, r"^cannot read settings .*a\.toml: No such file or directory; make one$"),
        (b"vip = ", r"^settings .*a\.toml is not valid TOML"),
        (b"\xff\xfe", r"^settings .*a\.toml is not text"),
        (b"a = " + b"9" * 5000, r"^settings .*a\.toml has a number that is too long"),
        (b"a = " + b"[" * 5000, r"^settings .*a\.toml has arrays or tables that lie too deep"),
    ],
    ids=["missing", "no TOML", "no text", "too long", "too deep"],
)
def test_a_file_that_cannot_be_used_is_named(
    tmp_path: Path, content: bytes | None, says: str
) -> None:
    path = tmp_path / "a.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=says):
        read_toml(path, "settings", remedy="make one")


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Is a directory"):
        read_toml(tmp_path, "settings")


def test_an_unknown_name_gets_the_nearest_known_one() -> None:
    assert unknown("prots", ["vip", "ports"], "setting") == (
        "unknown setting prots: did you mean ports?"
    )
    assert unknown("zzz", ["vip", "ports"]) == "unknown key zzz: known are ports, vip"
