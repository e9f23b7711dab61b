"""`icelane keys`."""

import json
import os
import stat
from pathlib import Path

import pytest

from relay.config.keyfile import load_keys
from relay.config.privatefiles import write_private
from relay.wire.keys import KeyRing
from relay.wire.keysource import Masters, Role
from relay.wire.route import mint, open_ufrag
from tests.relay.cli.commands import icelane, refused
from tests.relay.cli.conftest import KEYS, TARGET, Running


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


def slots(keys: Path) -> list[tuple[int, str]]:
    told = json.loads(icelane("keys", "list", keys, "--json").stdout)
    return [(each["slot"], each["state"]) for each in told]


class TestRotation:
    def test_its_steps_and_what_each_says_to_do_next(self, keys: Path) -> None:
        before = load_keys(keys)
        assert slots(keys) == [(0, "signs")]
        assert "`icelane keys rotate`" in icelane("keys", "add", keys).stdout
        assert slots(keys) == [(0, "signs"), (1, "new")]
        assert "`icelane keys retire --slot 0`" in icelane("keys", "rotate", keys).stdout
        assert slots(keys) == [(0, "verifies"), (1, "signs")]
        line = refused(icelane("keys", "retire", keys, "--slot", "0"))
        assert "its routes open flows until" in line
        assert "wait until then, or use --force" in line
        assert slots(keys) == [(0, "verifies"), (1, "signs")]
        assert icelane("keys", "retire", keys, "--slot", "0", "--force").exit_code == 0
        assert slots(keys) == [(1, "signs")]
        after = load_keys(keys)
        assert after.port_key(1) == before.port_key(1)
        assert stat.S_IMODE(keys.stat().st_mode) == 0o600

    def test_an_old_key_can_go_when_its_routes_have_expired(self, keys: Path) -> None:
        ring = KeyRing(Masters({0: bytes(32), 1: bytes(32)}, bytes(32), {0: 1_700_000_000}), 1)
        write_private(keys, ring.dumps().encode())
        assert icelane("keys", "list", keys).stdout.count("2023-11-14T22:13:20+00:00") == 1
        assert icelane("keys", "retire", keys, "--slot", "0").exit_code == 0

    def test_one_that_has_never_signed_can_go_at_once(self, keys: Path) -> None:
        icelane("keys", "add", keys)
        assert icelane("keys", "retire", keys, "--slot", "1").exit_code == 0

    def test_a_lifetime_says_how_long_routes_open_flows(self, keys: Path) -> None:
        icelane("keys", "add", keys)
        icelane("keys", "rotate", keys)
        retire = ("keys", "retire", keys, "--slot", "0", "--lifetime", "0", "--json")
        assert [each["slot"] for each in json.loads(icelane(*retire).stdout)] == [1]

    def test_what_cannot_be_done_is_told(self, keys: Path) -> None:
        assert "make one with `icelane keys add`" in refused(icelane("keys", "rotate", keys))
        assert "slot 0 signs" in refused(icelane("keys", "retire", keys, "--slot", "0"))
        assert "slot 5 holds no key" in refused(icelane("keys", "rotate", keys, "--slot", "5"))
        for _ in range(6):
            assert icelane("keys", "add", keys).exit_code == 0
        assert "all slots hold a key" in refused(icelane("keys", "add", keys))

    def test_no_command_prints_a_key(self, keys: Path, tmp_path: Path) -> None:
        said = [icelane("keys", "add", keys).output for _ in range(2)]
        said.append(icelane("keys", "rotate", keys, "--slot", "1").output)
        said.append(icelane("keys", "list", keys).output)
        said.append(icelane("keys", "list", keys, "--json").output)
        said.append(icelane("keys", "export", keys, tmp_path / "x", "--for", "relay").output)
        secret = [part for part in keys.read_text().split('"') if len(part) == 64]
        assert len(secret) == 4
        assert not [each for each in secret if each in "".join(said)]


class TestExport:
    def test_it_is_what_its_service_needs_and_opens_no_other_cluster(
        self, keys: Path, tmp_path: Path
    ) -> None:
        path = tmp_path / "transceiver.toml"
        told = icelane("keys", "export", keys, path, "--for", "transceiver", "--cluster", "7")
        assert told.stdout == f"wrote {path}, the keys of cluster 7 for a transceiver\n"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert slots(path) == [(0, "signs")]
        ufrag = icelane("ufrag", "mint", "--keys", path, "--cluster", "7").stdout.strip()
        assert open_ufrag(ufrag, load_keys(keys)).cluster == 7
        assert "has no keys of cluster 8" in refused(
            icelane("ufrag", "mint", "--keys", path, "--cluster", "8")
        )
        masters = [part for part in keys.read_text().split('"') if len(part) == 64]
        assert not [each for each in masters if each in path.read_text()]

    def test_it_is_replaced_and_master_keys_never_are(self, keys: Path, tmp_path: Path) -> None:
        path = tmp_path / "relay.toml"
        for _ in range(2):
            assert icelane("keys", "export", keys, path, "--for", "relay").exit_code == 0
            icelane("keys", "add", keys)
        assert load_keys(path, Role.RELAY, [1]).slots == {0, 1}
        assert "has master keys" in refused(icelane("keys", "export", keys, keys, "--for", "relay"))
        assert "change the file of master keys" in refused(icelane("keys", "add", path))


class TestCheck:
    def test_a_relay_tells_what_it_verifies_by(self, relay: Running, tmp_path: Path) -> None:
        path = tmp_path / "keys.toml"
        write_private(path, KEYS.dumps().encode())
        told = icelane("keys", "check", path, "--admin", relay.admin)
        assert told.stdout == "The relay verifies by slots 0, as the file says.\n"
        icelane("keys", "add", path)
        told = icelane("keys", "check", path, "--admin", relay.admin, "--json")
        assert (told.exit_code, json.loads(told.stdout)) == (
            1,
            {"file": [0, 1], "relay": [0], "same": False},
        )

    def test_none_that_runs_is_told(self, keys: Path, tmp_path: Path) -> None:
        line = refused(icelane("keys", "check", keys, "--admin", tmp_path / "none"), code=1)
        assert "no agent answers" in line


@pytest.mark.parametrize(
    "command",
    [
        ("keys", "list", "FILE"),
        ("keys", "add", "FILE"),
        ("keys", "rotate", "FILE"),
        ("keys", "retire", "FILE", "--slot", "0"),
        ("keys", "export", "FILE", "x", "--for", "relay"),
        ("keys", "check", "FILE", "--instance", "any"),
        ("ufrag", "mint", "--keys", "FILE"),
        ("ufrag", "show", "UFRAG", "--keys", "FILE"),
        ("ufrag", "verify", "UFRAG", "--keys", "FILE"),
        ("registry", "list", "--keys", "FILE", "--redis", "redis://127.0.0.1:1/0"),
    ],
    ids=" ".join,
)
def test_a_file_that_others_can_read_is_refused_by_every_command(
    keys: Path, command: tuple[str, ...]
) -> None:
    keys.chmod(0o644)
    route = mint(TARGET, KEYS, now=0, lifetime=60, nonce=bytes(4)).ufrag
    given = [{"FILE": str(keys), "UFRAG": route}.get(each, each) for each in command]
    line = refused(icelane(*given))
    assert line == f"icelane: others can read key file {keys} (mode 0644): chmod 600 {keys}"
