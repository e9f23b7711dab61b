"""`icelane ufrag`."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from relay.config.keyfile import load_keys
from relay.config.privatefiles import write_private
from relay.wire.route import EXPIRY_UNIT, Target, mint, open_ufrag
from tests.relay.cli.commands import icelane, refused


class TestMint:
    def test_the_ufrag_leads_where_it_was_told(self, keys: Path) -> None:
        where = ["--cluster", "7", "--slot", "65536", "--generation", "255", "--lifetime", "600"]
        result = icelane("ufrag", "mint", "--keys", keys, *where)
        assert (result.exit_code, result.stderr) == (0, "")
        route = open_ufrag(result.stdout.removesuffix("\n"), load_keys(keys))
        assert route.target == Target(7, 65536, 255)
        assert not route.expired(time.time() + 600)
        assert route.expired(time.time() + 600 + 3 * EXPIRY_UNIT)

    def test_two_ufrags_for_one_target_differ(self, keys: Path) -> None:
        first, second = (icelane("ufrag", "mint", "--keys", keys).stdout for _ in range(2))
        assert first != second

    @pytest.mark.parametrize("lifetime", ["1728001", "inf"])
    def test_a_lifetime_that_does_not_fit_is_refused(self, keys: Path, lifetime: str) -> None:
        result = icelane("ufrag", "mint", "--keys", keys, "--lifetime", lifetime)
        assert "at most 1728000 seconds" in refused(result)

    @pytest.mark.parametrize(
        ("option", "value"),
        [
            ("--cluster", "65536"),
            ("--slot", "16777216"),
            ("--generation", "256"),
            ("--slot", "-1"),
            ("--slot", "x"),
            ("--lifetime", "0"),
        ],
    )
    def test_a_value_out_of_range_is_a_usage_error(
        self, keys: Path, option: str, value: str
    ) -> None:
        result = icelane("ufrag", "mint", "--keys", keys, option, value)
        assert result.exit_code == 2
        assert isinstance(result.exception, SystemExit)
        assert option in result.stderr

    @pytest.mark.parametrize(
        ("content", "says"),
        [
            (None, "No such file or directory; make one with `icelane keys new`"),
            (b"", "a key file has `signing = SLOT`"),
            (b"\xff\xfe", "is not text"),
            (b"signing = 0\n[keys]\n", "signing key slot 0 holds no key"),
        ],
        ids=["missing", "empty", "binary", "no key"],
    )
    @pytest.mark.parametrize(
        "command", [("mint",), ("show", "A" * 28), ("verify", "A" * 28)], ids=lambda c: c[0]
    )
    def test_a_bad_key_file_is_named(
        self, tmp_path: Path, command: tuple[str, ...], content: bytes | None, says: str
    ) -> None:
        path = tmp_path / "bad.toml"
        if content is not None:
            write_private(path, content)
        line = refused(icelane("ufrag", *command, "--keys", path))
        assert "bad.toml" in line
        assert says in line


class TestShow:
    def test_as_json(self, keys: Path) -> None:
        now = time.time()
        route = mint(
            Target(1, 20, 3), load_keys(keys), now=now, lifetime=3600, nonce=b"\x01\x02\x03\x04"
        )
        result = icelane("ufrag", "show", route.ufrag, "--keys", keys, "--json")
        assert (result.exit_code, result.stderr) == (0, "")
        fields = json.loads(result.stdout)
        expires = datetime.fromisoformat(fields.pop("expires"))
        assert now + 3600 < expires.timestamp() <= now + 3600 + EXPIRY_UNIT
        assert expires.tzinfo is UTC
        assert fields == {
            "cluster": 1,
            "slot": 20,
            "generation": 3,
            "key_slot": 0,
            "flags": 0,
            "nonce": "01020304",
            "expired": False,
            "tag": "verifies",
        }

    @pytest.mark.parametrize("age", [2 * 3600, 10 * 86_400])
    def test_an_expired_one_is_still_explained(self, keys: Path, age: int) -> None:
        then = time.time() - age
        route = mint(Target(1, 1, 1), load_keys(keys), now=then, lifetime=60, nonce=bytes(4))
        fields = json.loads(icelane("ufrag", "show", route.ufrag, "--keys", keys, "--json").stdout)
        assert fields["expired"] is True
        expired_at = datetime.fromisoformat(fields["expires"]).timestamp()
        assert then + 60 < expired_at <= then + 60 + EXPIRY_UNIT

    def test_for_people(self, keys: Path) -> None:
        ufrag = icelane("ufrag", "mint", "--keys", keys, "--slot", "20").stdout.strip()
        shown = icelane("ufrag", "show", ufrag, "--keys", keys).stdout
        table, words = shown.split("\n\n")
        values = dict(line.split(maxsplit=1) for line in table.splitlines())
        assert (values["slot"], values["expired"]) == ("20", "False")
        assert words == (
            "It leads to the transceiver in slot 20 of cluster 1, in that slot's generation 1. It "
            f"opens new flows until {values['expires']}, and 5 minutes longer. The key in slot 0 "
            "signed it, and its tag verifies.\n"
        )

    @pytest.mark.parametrize(
        ("ufrag", "says"),
        [
            ("IA" + "A" * 26, "refused: key slot 4 holds no key"),
            ("A" * 28, "refused: the route's tag does not verify"),
            ("OA" + "A" * 26, "refused: key slot 7 says that there is no route"),
        ],
    )
    def test_one_of_another_key_is_explained_as_far_as_can_be(
        self, keys: Path, ufrag: str, says: str
    ) -> None:
        shown = icelane("ufrag", "show", ufrag, "--keys", keys)
        assert shown.exit_code == 0
        assert f"its tag is {says}." in shown.stdout

    def test_no_key_file_is_needed_to_read_one(self, keys: Path) -> None:
        ufrag = icelane("ufrag", "mint", "--keys", keys, "--slot", "20").stdout.strip()
        shown = icelane("ufrag", "show", ufrag).stdout
        assert "slot 20 of cluster 1" in shown
        assert "its tag is not verified: name a key file with --keys" in shown

    @pytest.mark.parametrize(
        ("ufrag", "says"),
        [
            ("", "28 characters, not 0"),
            ("A" * 27, "28 characters, not 27"),
            ("A" * 29, "28 characters, not 29"),
            ("A" * 27 + "=", "no padding"),
            ("A" * 27 + "!", "only the characters"),
            ("A" * 27 + "é", "only the characters"),
            ("w" + "A" * 27, "version 3 is unknown"),
        ],
    )
    @pytest.mark.parametrize("command", ["show", "verify"])
    def test_one_that_is_no_route_is_refused(
        self, keys: Path, command: str, ufrag: str, says: str
    ) -> None:
        assert says in refused(icelane("ufrag", command, ufrag, "--keys", keys), code=1)


class TestVerify:
    def test_one_that_has_expired_by_the_leeway_of_clocks_only(self, keys: Path) -> None:
        """Relays take it, as a machine's clock may be off."""
        then = time.time() - 200
        route = mint(Target(1, 1, 1), load_keys(keys), now=then, lifetime=60, nonce=bytes(4))
        assert icelane("ufrag", "verify", route.ufrag, "--keys", keys).exit_code == 0

    def test_one_that_opens_flows(self, keys: Path) -> None:
        ufrag = icelane("ufrag", "mint", "--keys", keys).stdout.strip()
        told = icelane("ufrag", "verify", ufrag, "--keys", keys)
        assert (told.exit_code, told.stdout.endswith("its tag verifies.\n")) == (0, True)

    @pytest.mark.parametrize("why", ["expired", "forged"])
    def test_one_that_does_not(self, keys: Path, why: str) -> None:
        then = time.time() - (86_400 if why == "expired" else 0)
        route = mint(Target(1, 1, 1), load_keys(keys), now=then, lifetime=60, nonce=bytes(4)).ufrag
        ufrag = route if why == "expired" else route[:-1] + ("A" if route[-1] != "A" else "B")
        told = icelane("ufrag", "verify", ufrag, "--keys", keys, "--json")
        assert (told.exit_code, json.loads(told.stdout)["opens"]) == (1, False)
