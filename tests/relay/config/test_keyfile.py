import logging
import pickle
from pathlib import Path

import pytest

from relay.config.keyfile import EdgeKeyFiles, KeyFile, change_keys, load_keys
from relay.config.privatefiles import write_private
from relay.wire.errors import KeyFileError
from relay.wire.keys import KeyRing
from relay.wire.keysource import Role

RING = KeyRing({2: bytes(range(32)), 5: bytes(32)}, signing_slot=5)
OTHER = KeyRing({2: bytes(range(32)), 6: bytes(32)}, signing_slot=6)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "keys.toml"
    write_private(path, RING.dumps().encode())
    return path


def test_it_reads_what_a_ring_writes(path: Path) -> None:
    assert load_keys(path).dumps() == RING.dumps()


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
        write_private(path, content)
    with pytest.raises(KeyFileError, match=says):
        load_keys(path)


def test_one_that_others_can_read_is_refused_with_the_command_that_mends_it(path: Path) -> None:
    path.chmod(0o640)
    with pytest.raises(KeyFileError, match=rf"others can read key file .*chmod 600 {path}"):
        load_keys(path)


def test_one_that_does_not_do_for_a_service_is_refused(path: Path) -> None:
    write_private(path, RING.exported(3, Role.TRANSCEIVER).dumps().encode())
    load_keys(path, Role.TRANSCEIVER, [3])
    with pytest.raises(KeyFileError, match=r"keys\.toml: it has the keys of cluster 3 only"):
        load_keys(path, Role.TRANSCEIVER, [3, 4])
    with pytest.raises(KeyFileError, match="a relay needs others"):
        load_keys(path, Role.RELAY, [3])


def test_a_change_that_fails_changes_nothing(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(KeyFileError, match=r"key file .*keys\.toml: slot 5 signs"):
        change_keys(path, lambda ring: ring.retired(5))
    with pytest.raises(KeyFileError, match=r"cannot write .*nowhere.*No such file"):
        change_keys(path.parent / "nowhere" / "keys.toml", lambda ring: ring)
    assert path.read_bytes() == before
    assert change_keys(path, lambda ring: ring.retired(2)).slots == {5}
    assert load_keys(path).slots == {5}


async def test_whoever_holds_its_ring_has_what_the_file_says(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    file, told = KeyFile(path, Role.RELAY, [1]), list[int]()
    held = file.ring
    file.on_change(lambda: told.append(held.signing_slot))
    await file.look()
    assert (held.signing_slot, told) == (5, [])
    write_private(path, OTHER.dumps().encode())
    await file.look()
    await file.look()
    assert (sorted(held.slots), held.signing_slot, told) == ([2, 6], 6, [6])
    # As docs/rotation.md has it: only by this does an operator know of a transceiver.
    assert "key slots 2, 6 verify from now on, and 6 signs" in caplog.messages
    assert held.route_key(1, 6) == OTHER.route_key(1, 6)


def spoil(path: Path, how: str) -> None:
    match how:
        case "gone":
            path.unlink()
        case "open to all":
            write_private(path, OTHER.dumps().encode())
            path.chmod(0o644)
        case _:
            write_private(path, b"signing")


@pytest.mark.parametrize("how", ["gone", "open to all", "nonsense"])
async def test_one_that_cannot_be_used_changes_nothing_until_it_can(
    path: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    file = KeyFile(path, Role.RELAY, [1])
    spoil(path, how)
    with caplog.at_level(logging.DEBUG):
        await file.look()
    assert "what was there before stays in force" in caplog.text
    assert bytes(32).hex() not in caplog.text
    assert file.ring.signing_slot == 5
    assert str(path) in str(file.trouble)
    write_private(path, OTHER.dumps().encode())
    await file.look()
    assert (file.ring.signing_slot, file.trouble) == (6, None)


async def test_it_goes_to_a_worker_with_its_ring(path: Path) -> None:
    """See `relay.handover`."""
    file = KeyFile(path, Role.TRANSCEIVER, [1])
    again, ring = pickle.loads(pickle.dumps((file, file.ring)))  # noqa: S301  # our own
    assert again.ring is ring
    write_private(path, OTHER.dumps().encode())
    await again.look()
    assert ring.signing_slot == 6


async def test_an_edges_files_are_read_again_and_each_stays_of_its_cluster(tmp_path: Path) -> None:
    path, other = tmp_path / "two.toml", tmp_path / "four.toml"
    for each, cluster in ((path, 2), (other, 4)):
        write_private(each, RING.exported(cluster, Role.EDGE).dumps().encode())
    files = EdgeKeyFiles([path, other])
    assert files.keys.slots() == {2: [2, 5], 4: [2, 5]}
    write_private(path, OTHER.exported(2, Role.EDGE).dumps().encode())
    write_private(other, OTHER.exported(3, Role.EDGE).dumps().encode())
    await files.look()
    assert files.keys.slots() == {2: [2, 6], 4: [2, 5]}
    assert str(other) in str(files.trouble)
    assert str(path) not in str(files.trouble)
    write_private(other, RING.exported(4, Role.EDGE).dumps().encode())
    await files.look()
    assert files.trouble is None
    assert files.keys.goodbye_key(2, 6) == OTHER.edge_key(2, 6)


@pytest.mark.parametrize("role", [None, Role.RELAY])
def test_an_edge_refuses_what_could_forge_routes(path: Path, role: Role | None) -> None:
    if role is not None:
        write_private(path, RING.exported(2, role).dumps().encode())
    with pytest.raises(KeyFileError, match=r"keys\.toml: an edge must not have these.*for edge"):
        EdgeKeyFiles([path])
