import ast
import inspect
import tomllib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.auth import apikeys
from signaling.auth.apikeys import (
    MAX_KEYS,
    PREFIX,
    ApiKey,
    ApiKeyError,
    ApiKeys,
    Quota,
    new_key,
)

NOW = datetime(2026, 11, 27, tzinfo=UTC)
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}", fullmatch=True)
KEYS = st.builds(
    ApiKey,
    name=NAMES,
    digest=st.binary(min_size=32, max_size=32),
    created=st.just(NOW),
    expires=st.none() | st.integers(1, 10_000).map(lambda days: NOW + timedelta(days=days)),
    models=st.lists(st.from_regex(r"[\x21-\x7e]{1,40}", fullmatch=True), max_size=3).map(tuple),
    quota=st.builds(
        Quota,
        calls=st.none() | st.integers(1, 10**6),
        setups=st.none() | st.floats(0.001, 10**6),
        requests=st.none() | st.floats(0.001, 10**6),
    ),
)


def key(name: str = "alice", number: int = 1, **more: Any) -> tuple[ApiKey, str]:
    return new_key(name, bytes([number]) * 32, NOW, **more)


class TestKeys:
    def test_a_key_is_shown_once_and_only_its_hash_is_kept(self) -> None:
        kept, text = key()
        assert text.startswith(PREFIX)
        assert len(text) == len(PREFIX) + 64
        assert text.removeprefix(PREFIX) not in ApiKeys([kept]).dumps()

    def test_a_key_is_found_and_no_other_one_is(self) -> None:
        kept = [key("alice", 1), key("bob", 2)]
        keys = ApiKeys(each for each, _ in kept)
        for mine, text in kept:
            assert keys.find(text) == mine
            for wrong in ("", text[:-1], text + "0", text.upper(), text + "\udcff", "\0"):
                assert keys.find(wrong) is None

    @given(st.text())
    def test_no_text_that_is_no_key_is_found(self, text: str) -> None:
        assert ApiKeys([key()[0]]).find(text) is None

    def test_digests_are_compared_in_constant_time_and_all_of_them(self) -> None:
        found = ast.parse(inspect.getsource(apikeys))
        (find,) = [
            each
            for each in ast.walk(found)
            if isinstance(each, ast.FunctionDef) and each.name == "find"
        ]
        calls = [ast.unparse(each.func) for each in ast.walk(find) if isinstance(each, ast.Call)]
        assert "hmac.compare_digest" in calls
        leaves = (ast.Break, ast.Return)
        (loop,) = [each for each in ast.walk(find) if isinstance(each, ast.For)]
        assert not [each for each in ast.walk(loop) if isinstance(each, leaves)]
        assert not [each for each in ast.walk(find) if isinstance(each, ast.Compare)]

    def test_a_key_ends_at_its_end(self) -> None:
        kept, _ = key(expires=NOW + timedelta(days=1))
        end = (NOW + timedelta(days=1)).timestamp()
        assert [kept.has_expired(end - 1), kept.has_expired(end)] == [False, True]
        assert not key()[0].has_expired(10**12)

    def test_a_name_is_of_one_key(self) -> None:
        keys = ApiKeys([key()[0]])
        with pytest.raises(ApiKeyError, match="there is a key alice: revoke it first"):
            keys.with_key(key(number=2)[0])
        with pytest.raises(ApiKeyError, match="two keys are called alice"):
            ApiKeys([*keys, *keys])
        with pytest.raises(ApiKeyError, match="there is no key bob"):
            keys.without("bob")
        assert len(keys.without("alice")) == 0

    def test_there_are_not_too_many(self) -> None:
        kept, _ = key()
        many = [
            ApiKey(name=f"k{number}", digest=kept.digest, created=NOW)
            for number in range(MAX_KEYS + 1)
        ]
        with pytest.raises(ApiKeyError, match="there are 1001 keys; 1000 may be"):
            ApiKeys(many)

    @pytest.mark.parametrize("name", ["", "a b", "-a", "ä", "a" * 65, 'a"', "a\n"])
    def test_a_name_that_no_log_should_have_is_refused(self, name: str) -> None:
        with pytest.raises(ApiKeyError, match="is no name"):
            key(name)

    @pytest.mark.parametrize(
        "more",
        [
            {"models": ("a b",)},
            {"models": ("",)},
            {"quota": Quota(calls=0)},
            {"quota": Quota(setups=0.0)},
            {"quota": Quota(requests=0.0)},
            {"quota": Quota(setups=float("nan"))},
            {"quota": Quota(setups=float("inf"))},
            {"quota": Quota(setups=1e-320)},
            {"quota": Quota(requests=10**400)},
            {"expires": NOW},
        ],
    )
    def test_what_makes_no_sense_is_refused(self, more: dict[str, Any]) -> None:
        with pytest.raises(ApiKeyError):
            key(**more)


class TestFile:
    @given(st.lists(KEYS, max_size=4, unique_by=lambda each: each.name))
    def test_what_is_written_is_read(self, keys: list[ApiKey]) -> None:
        text = ApiKeys(keys).dumps()
        assert list(ApiKeys.of(tomllib.loads(text))) == keys

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("key = 1", "write [[key]] above each key"),
            ("[kez]", "unknown table kez: did you mean key?"),
            ("[[key]]\nhash = 'x'", "key 1: name must be a text"),
            ("[[key]]\nname = 'a'\nhash = 'sha256:12'", "key 1: hash must be"),
            ("[[key]]\nnam = 'a'", "key 1: unknown key nam: did you mean name?"),
            ("[[key]]\nname = 'a'\nhash = 'HASH'", "key 1: created is missing"),
            ("[[key]]\nname = 'a'\nhash = 'HASH'\ncreated = 1", "created must be a time such as"),
            (
                "[[key]]\nname = 'a'\nhash = 'HASH'\ncreated = 2026-01-01T00:00:00",
                "created must be a time such as",
            ),
            ("[[key]]\nname = 'a'\nhash = 'HASH'\nCREATED\nmodels = 'm'", "models must be a list"),
            ("[[key]]\nname = 'a'\nhash = 'HASH'\nCREATED\ncalls = true", "calls must be a number"),
            ("[[key]]\nname = 'a'\nhash = 'HASH'\nCREATED\ncalls = 1.5", "calls must be a number"),
            ("[[key]]\nname = 'a b'\nhash = 'HASH'\nCREATED", "is no name"),
            (
                "[[key]]\nname = 'a'\nhash = 'HASH'\nCREATED\nexpires = 9999-12-31T23:59:59-05:00",
                "key 1: expires must lie in the years 1 to 9999 by UTC, too",
            ),
            (
                "[[key]]\nname = 'a'\nhash = 'HASH'\ncreated = 0001-01-01T00:00:00+05:00",
                "key 1: created must lie in the years 1 to 9999 by UTC, too",
            ),
            (
                f"[[key]]\nname = 'a'\nhash = 'HASH'\nCREATED\nsetups_per_second = 1{'0' * 400}",
                "key 1: setups_per_second must be a number from 0.000001 on",
            ),
        ],
    )
    def test_what_is_wrong_is_told_by_its_place(self, text: str, reason: str) -> None:
        text = text.replace("HASH", "sha256:" + "0" * 64)
        text = text.replace("CREATED", "created = 2026-01-01T00:00:00Z")
        with pytest.raises(ApiKeyError) as raised:
            ApiKeys.of(tomllib.loads(text))
        assert reason in str(raised.value)
