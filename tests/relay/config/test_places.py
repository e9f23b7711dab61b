"""Lines of a TOML file: of each key, wherever and however it is written."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.config.places import Places, key_lines

TEXT = '''
# a comment
keys = "a"   # 3

[relay]
vip = [
    "203.0.113.10:3478",   # with [brackets] = in it
]
text = """
[not.a.table]
x = 1
"""
a.b = 13
inline = { c = 1, d = [2] }

[[transceiver]]
slot = 1
[transceiver.more]
x = 1
[[transceiver]]
slot = 2
[[transceiver.port]]
y = 1
'''


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (("keys",), 3),
        (("relay",), 5),
        (("relay", "vip"), 6),
        (("relay", "text"), 9),
        (("relay", "a", "b"), 13),
        (("relay", "inline", "c"), 14),
        (("relay", "inline", "d", 0), 14),
        (("transceiver", 0), 16),
        (("transceiver", 0, "slot"), 17),
        (("transceiver", 0, "more", "x"), 19),
        (("transceiver", 1, "slot"), 21),
        (("transceiver", 1, "port", 0, "y"), 23),
    ],
    ids=str,
)
def test_each_key_has_its_line(keys: tuple[str | int, ...], line: int) -> None:
    assert key_lines(TEXT)[keys] == line


def test_what_is_in_a_text_is_no_key() -> None:
    assert ("not", "a", "table") not in key_lines(TEXT)


def test_what_is_no_toml_has_no_lines() -> None:
    with pytest.raises(tomllib.TOMLDecodeError):
        key_lines("a = 1\nb = [1,\n")


@given(st.lists(st.sampled_from(["a = 1", "", "# x", "b.c = [1,\n2]", 'd = """\n"""', "[t]"])))
def test_every_key_that_can_be_read_has_a_line(lines: list[str]) -> None:
    text = "\n".join(dict.fromkeys(lines))
    found = key_lines(text)
    document = tomllib.loads(text)
    assert {keys[0] for keys in found} == set(document)
    for keys, line in found.items():
        assert str(keys[-1]) in text.splitlines()[line - 1] or isinstance(keys[-1], int)


class TestPlaces:
    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        path = tmp_path / "a.toml"
        path.write_text("\n[relay]\nvip = 1\n")
        return path

    def test_a_key_that_is_there(self, file: Path) -> None:
        assert Places(file).at("relay", "vip") == f"{file}:3"

    def test_one_that_is_not_there_is_placed_at_its_table(self, file: Path) -> None:
        assert Places(file).tell("keys is missing", "relay", "keys") == f"{file}:2: keys is missing"

    def test_one_of_the_whole_file_has_no_line(self, file: Path) -> None:
        assert Places(file).at("nosuch") == Places(file).at() == str(file)

    def test_a_file_that_has_gone_is_named_all_the_same(self, tmp_path: Path) -> None:
        assert Places(tmp_path / "x").at("relay") == str(tmp_path / "x")

    def test_without_a_file_there_is_no_place(self) -> None:
        assert Places().tell("slot is missing", "transceiver", 0) == "slot is missing"
