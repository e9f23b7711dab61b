from pathlib import Path

import pytest

from relay.config.keyfile import load_keys
from relay.wire.errors import KeyFileError
from relay.wire.keys import KeyRing


def test_it_reads_what_a_ring_writes(tmp_path: Path) -> None:
    ring = KeyRing({2: bytes(range(32)), 5: bytes(32)}, signing_slot=5)
    path = tmp_path / "keys.toml"
    path.write_text(ring.dumps())
    assert load_keys(path).dumps() == ring.dumps()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (
            None,
            r"cannot read key file .*keys\.toml: No such file.*make one with `icelane keys new`",
        ),
        (b"\xff\xfe\x00", r"key file .*keys\.toml is not text"),
        (b"signing = [", r"key file .*keys\.toml is not valid TOML"),
        (b"signing = 3\n[keys]", r"key file .*keys\.toml: signing key slot 3 holds no key"),
    ],
    ids=["missing", "no text", "no TOML", "no key"],
)
def test_an_error_names_the_file_and_the_remedy(
    tmp_path: Path, content: bytes | None, says: str
) -> None:
    path = tmp_path / "keys.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(KeyFileError, match=says):
        load_keys(path)
