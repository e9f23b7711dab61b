"""API keys: what is kept of them, and whose a key is that somebody presents. Pure.

Only a hash of a key is kept. A key has 256 random bits, so nobody can guess his way from SHA-256
back to it, and a slow hash would only help who sends rubbish.
"""

import hashlib
import hmac
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from relay.config.toml import unknown
from relay.errors import ConfigError

#: What keys begin with, as those of OpenAI do: scanners for leaked secrets look for it.
PREFIX = "sk-icelane-"
RANDOM_BYTES = 32
#: Keys of a file; a key that is presented is compared with all of them, about 1 us each.
MAX_KEYS = 1000
MAX_MODELS = 64
#: Of what is counted a second: once in eleven days. Far less would be a wait without end.
LEAST_RATE = 1e-6
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_MODEL = re.compile(r"[\x21-\x7e]{1,256}")
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_HEAD = "# API keys of Icelane, by their hashes: see `icelane keys api --help`.\n"
_FIELDS = (
    *("name", "hash", "created", "expires", "models"),
    *("calls", "setups_per_second", "requests_per_second"),
)


class ApiKeyError(ConfigError):
    """API keys, or the file that they are in, cannot be used; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """How much a principal may do; None for as much as he likes.

    Attributes:
        calls: Calls at a time.
        setups: Calls that he may begin a second, on average.
        requests: Requests of any kind that he may make a second, on average.
    """

    calls: int | None = None
    setups: float | None = None
    requests: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """What is known of a key.

    Attributes:
        name: Whose it is: the principal of its calls.
        digest: SHA-256 of the key.
        created: When it was made.
        expires: When it ends; None for never.
        models: The models that it may use; empty for all.
        quota: How much it may do.
    """

    name: str
    digest: bytes
    created: datetime
    expires: datetime | None = None
    models: tuple[str, ...] = ()
    quota: Quota = Quota()

    def has_expired(self, now: float) -> bool:
        """Whether it has ended, at a time in seconds since 1970."""
        return self.expires is not None and self.expires.timestamp() <= now


class ApiKeys:
    """All keys there are; a name is of one key.

    Args:
        keys: The keys.

    Raises:
        ApiKeyError: Keys share a name, or are too many.
    """

    def __init__(self, keys: Iterable[ApiKey] = ()) -> None:
        self._keys: dict[str, ApiKey] = {}
        for key in keys:
            if key.name in self._keys:
                raise ApiKeyError(f"two keys are called {key.name}")
            self._keys[key.name] = key
        if len(self._keys) > MAX_KEYS:
            raise ApiKeyError(f"there are {len(self._keys)} keys; {MAX_KEYS} may be")

    def __iter__(self) -> Iterator[ApiKey]:
        return iter(self._keys.values())

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, presented: str) -> ApiKey | None:
        """The key that somebody presents; None if there is none such.

        It takes as long whichever key it is, or none, and however much of it is right.
        """
        digest, found = _digest(presented), None
        for key in self._keys.values():
            if hmac.compare_digest(key.digest, digest):
                found = key
        return found

    def named(self, name: str) -> ApiKey | None:
        """The key of a principal."""
        return self._keys.get(name)

    def with_key(self, key: ApiKey) -> Self:
        """These and another one.

        Raises:
            ApiKeyError: Its name is taken, or there are too many.
        """
        if key.name in self._keys:
            raise ApiKeyError(f"there is a key {key.name}: revoke it first, or take another name")
        return type(self)((*self, key))

    def without(self, name: str) -> Self:
        """These without one.

        Raises:
            ApiKeyError: There is none of that name.
        """
        if name not in self._keys:
            raise ApiKeyError(f"there is no key {name}: see `icelane keys api list`")
        return type(self)(key for key in self if key.name != name)

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """Take the tables of a file of keys.

        Raises:
            ApiKeyError: Entries are wrong: it names them all.
        """
        problems = [unknown(name, ["key"], "table") for name in document if name != "key"]
        entries, keys = document.get("key", []), []
        if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
            raise ApiKeyError("write [[key]] above each key")
        for number, entry in enumerate(entries, 1):
            try:
                keys.append(_read(entry))
            except ValueError as error:
                problems.append(f"key {number}: {error}")
        if problems:
            raise ApiKeyError(*problems)
        return cls(keys)

    def dumps(self) -> str:
        """The text of a file of these keys."""
        return "\n".join([_HEAD, *map(_written, self)])


def new_key(name: str, random: bytes, now: datetime, **more: Any) -> tuple[ApiKey, str]:
    """Make a key: what is kept of it, and the key itself.

    Args:
        name: Whose it is.
        random: `RANDOM_BYTES` of randomness.
        now: The time, with its zone.
        more: Other attributes of `ApiKey`.

    Raises:
        ApiKeyError: The name, or something else, cannot be.
    """
    text = PREFIX + random.hex()
    key = ApiKey(
        name=name, digest=_digest(text), created=now.astimezone(UTC).replace(microsecond=0), **more
    )
    try:
        _check(key)
    except ValueError as error:
        raise ApiKeyError(str(error)) from None
    return key, text


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="surrogateescape")).digest()


def _check(key: ApiKey) -> None:
    """Raise ValueError if a key has what no key may have."""
    if not _NAME.fullmatch(key.name):
        raise ValueError(
            f"{key.name!r} is no name: write up to 64 letters, digits and . _ @ -, first a letter "
            "or digit"
        )
    if len(key.models) > MAX_MODELS or not all(map(_MODEL.fullmatch, key.models)):
        raise ValueError(f"models are up to {MAX_MODELS} names without spaces")
    if key.quota.calls is not None and key.quota.calls < 1:
        raise ValueError("calls must be a whole number from 1 on")
    rates = {"setups_per_second": key.quota.setups, "requests_per_second": key.quota.requests}
    for name, rate in rates.items():
        if rate is not None and not LEAST_RATE <= rate <= sys.float_info.max:
            raise ValueError(
                f"{name} must be a number from {LEAST_RATE:f} on; without it there is no limit"
            )
    if key.expires is not None and key.expires <= key.created:
        raise ValueError("it ends before it begins")


def _read(entry: Mapping[str, Any]) -> ApiKey:
    for name in entry:
        if name not in _FIELDS:
            raise ValueError(unknown(name, _FIELDS))
    called, written = entry.get("name"), entry.get("hash")
    if not isinstance(called, str):
        raise ValueError("name must be a text")  # noqa: TRY004  # collected with the others
    match = _DIGEST.fullmatch(written) if isinstance(written, str) else None
    if match is None:
        raise ValueError('hash must be "sha256:" and 64 hexadecimal digits')
    models = entry.get("models", [])
    if not isinstance(models, list) or not all(isinstance(each, str) for each in models):
        raise ValueError("models must be a list of texts")
    created = _time(entry, "created")
    if created is None:
        raise ValueError("created is missing")
    key = ApiKey(
        name=called,
        digest=bytes.fromhex(match[1]),
        created=created,
        expires=_time(entry, "expires"),
        models=tuple(models),
        quota=Quota(
            calls=_number(entry, "calls", int),
            setups=_number(entry, "setups_per_second", (int, float)),
            requests=_number(entry, "requests_per_second", (int, float)),
        ),
    )
    _check(key)
    return key


def _time(entry: Mapping[str, Any], name: str) -> datetime | None:
    value = entry.get(name)
    if value is None:
        return None
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise ValueError(f"{name} must be a time such as 2027-01-31T00:00:00Z")
    try:
        return value.astimezone(UTC)
    except OverflowError:  # such as the last second of the year 9999, west of Greenwich
        raise ValueError(
            f"{name} must lie in the years 1 to 9999 by UTC, too: a key without `expires` goes on"
        ) from None


def _number(entry: Mapping[str, Any], name: str, kinds: type | tuple[type, ...]) -> Any:
    value = entry.get(name)
    if value is not None and (not isinstance(value, kinds) or isinstance(value, bool)):
        raise ValueError(f"{name} must be a number")
    return value


def _written(key: ApiKey) -> str:
    lines = [
        "[[key]]",
        f'name = "{key.name}"',
        f'hash = "sha256:{key.digest.hex()}"',
        f"created = {timestamp(key.created)}",
    ]
    if key.expires is not None:
        lines.append(f"expires = {timestamp(key.expires)}")
    if key.models:
        lines.append(f"models = [{', '.join(map(_quoted, key.models))}]")
    if key.quota.calls is not None:
        lines.append(f"calls = {key.quota.calls}")
    if key.quota.setups is not None:
        lines.append(f"setups_per_second = {key.quota.setups}")
    if key.quota.requests is not None:
        lines.append(f"requests_per_second = {key.quota.requests}")
    return "\n".join([*lines, ""])


def timestamp(time: datetime) -> str:
    """A time as files and listings have it (RFC 3339)."""
    return time.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
