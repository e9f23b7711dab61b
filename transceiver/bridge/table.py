"""The table of back ends: which services there are, by what model, for whom, with which key.

```toml
[[backend]]
name = "openai"
url = "wss://api.openai.com/v1/realtime"
key-file = "openai.key"
models = ["gpt-realtime"]
```
"""

import base64
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from relay.config.places import Places
from relay.config.toml import read_toml, unknown
from relay.errors import ConfigError
from relay.files import unreadable
from transceiver.backend import BackendFactory, EchoBackend
from transceiver.errors import ModelError

ECHO = "echo"
_KEYS = ("name", "url", "key-file", "key-env", "auth", "models", "voice", "principals")
_SCHEMES = ("ws", "wss")


class Auth(StrEnum):
    """How a service is told its key."""

    BEARER = "bearer"
    API_KEY = "api-key"
    QUERY = "query"


@dataclass(frozen=True, slots=True)
class Service:
    """A back end.

    Attributes:
        name: What it is called.
        url: Where it is, perhaps with user name and password; None for one in this process.
        key: What it is told of us; never shown.
        auth: How it is told.
        models: What it is asked for by; with none, it takes any model.
        voice: Spoken with where a client asks for no voice.
        principals: Who may use it; with none, everybody may.
        local: Makes the back end of a call, where it is in this process.
    """

    name: str
    url: str | None = field(repr=False)
    key: str = field(default="", repr=False)
    auth: Auth = Auth.BEARER
    models: tuple[str, ...] = ()
    voice: str = ""
    principals: tuple[str, ...] = ()
    local: BackendFactory = EchoBackend

    def may_be_used_by(self, principal: str | None) -> bool:
        """Whether somebody may use it."""
        return not self.principals or principal in self.principals

    def address(self, model: str | None, *, transcribes: bool = False) -> str:
        """The URL to connect to, which may have the key in it.

        Args:
            model: What the client asked for. What the URL itself says counts more; a service that
                is called by its name gets its first model.
            transcribes: Whether the session is one of transcription. OpenAI's service takes a model
                or this intent, so none is added that the client did not ask for.
        """
        if model is None or model == self.name:
            model = self.models[0] if self.models and not transcribes else None
        parts = urlsplit(self.url or "")
        query = parse_qsl(parts.query, keep_blank_values=True)
        if model is not None and "model" not in dict(query):
            query.append(("model", model))
        if transcribes and "intent" not in dict(query):
            query.append(("intent", "transcription"))
        if self.key and self.auth is Auth.QUERY:
            query.append(("key", self.key))
        host = parts.netloc.rpartition("@")[2]
        return urlunsplit(parts._replace(netloc=host, query=urlencode(query)))

    def headers(self) -> dict[str, str]:
        """What the handshake says."""
        basic = _basic(self.url or "")
        if not self.key or self.auth is Auth.QUERY:
            return basic
        if self.auth is Auth.API_KEY:
            return basic | {"api-key": self.key}
        return {"Authorization": f"Bearer {self.key}"}


@dataclass(frozen=True, slots=True)
class Table:
    """All back ends; the first one is for those who ask for none."""

    services: tuple[Service, ...] = (Service(ECHO, None),)

    @classmethod
    def of(cls, choice: str | None, file: Path | None, environment: Mapping[str, str]) -> "Table":
        """The table that an operator has asked for.

        Args:
            choice: The back end for those who ask for none: see `beginning_with`.
            file: The table; None for one with the echo alone.
            environment: Where keys may be.

        Raises:
            ConfigError: It cannot be had; the text says why.
        """
        table = cls() if file is None else cls.load(file, environment)
        return table if choice is None else table.beginning_with(choice)

    @classmethod
    def load(cls, path: Path, environment: Mapping[str, str]) -> Self:
        """Read a table.

        Raises:
            ConfigError: It cannot be read, or entries are wrong: it names them all.
        """
        document, places = read_toml(path, "table of back ends"), Places(path)
        problems = [
            places.tell(unknown(name, ["backend"], "table"), name)
            for name in document
            if name != "backend"
        ]
        entries = document.get("backend")
        if not isinstance(entries, list) or not entries:
            problems.append(
                places.tell("write [[backend]] above the settings of each back end", "backend")
            )
            entries = []
        readers = [
            _Reader(entry, index, path.parent, environment, places)
            for index, entry in enumerate(entries)
        ]
        services = tuple(reader.service() for reader in readers)
        problems += [problem for reader in readers for problem in reader.problems]
        names = [service.name for service in services]
        problems += [
            places.tell(f"two back ends are called {name}")
            for name in dict.fromkeys(names)
            if name and names.count(name) > 1
        ]
        if problems:
            raise ConfigError(*(f"table of back ends {each}" for each in problems))
        return cls(services)

    def beginning_with(self, choice: str) -> "Table":
        """A table whose first back end is chosen: its name, `echo`, or a URL of WebSocket.

        Raises:
            ConfigError: It is none of these.
        """
        named = next((each for each in self.services if each.name == choice), None)
        if named is None and choice == ECHO:
            named = Service(ECHO, None)
        if named is None and "://" in choice:
            if (problem := _url_problem(choice)) is not None:
                raise ConfigError(f"--backend: {problem}")
            named = Service(urlsplit(choice).netloc.rpartition("@")[2], choice)
        if named is None:
            known = [ECHO, *(each.name for each in self.services)]
            raise ConfigError(
                f"--backend: {unknown(choice, dict.fromkeys(known), 'back end')}; "
                "or write ws://... or wss://..."
            )
        return replace(
            self, services=(named, *(each for each in self.services if each is not named))
        )

    def choose(self, model: str | None, principal: str | None) -> Service:
        """The back end for a call.

        Args:
            model: What the client asks for: a model, or a back end by its name.
            principal: Who calls.

        Raises:
            ModelError: There is none for him.
        """
        mine = [each for each in self.services if each.may_be_used_by(principal)]
        if model is None and mine:
            return mine[0]
        for each in mine:
            if model in (each.name, *each.models):
                return each
        for each in mine:
            if not each.models:
                return each
        known = ", ".join(model for model, _ in self.models(principal))
        raise ModelError(
            f"there is no model {(model or '')[:100]!r} here: known are {known}"
            if known
            else "there is no back end that you may use"
        )

    def models(self, principal: str | None) -> Iterator[tuple[str, str]]:
        """Models that somebody may ask for, each with the name of its back end."""
        for each in self.services:
            if each.may_be_used_by(principal):
                yield from ((model, each.name) for model in each.models or (each.name,))


class _Reader:
    """Reads one entry of a table.

    Attributes:
        problems: What is wrong with it.
    """

    def __init__(
        self,
        entry: object,
        index: int,
        directory: Path,
        environment: Mapping[str, str],
        places: Places,
    ) -> None:
        self.problems: list[str] = []
        self._entry: dict[str, Any] = entry if isinstance(entry, dict) else {}
        self._called = f"back end {self._entry.get('name', index + 1)}"
        self._index = index
        self._places = places
        self._directory = directory
        self._environment = environment

    def service(self) -> Service:
        """The back end; `problems` has what is wrong."""
        for name in self._entry:
            if name not in _KEYS:
                self._wrong(unknown(name, _KEYS), name)
        name = self._text("name", needed=True)
        url = self._text("url", needed=True)
        if url and url != ECHO and (problem := _url_problem(url)) is not None:
            self._wrong(problem, "url")
        auth = self._text("auth") or Auth.BEARER
        if auth == Auth.BEARER and "@" in url.partition("?")[0] and self._has_key():
            self._wrong(
                "user name and password in url, or a key of auth bearer: give one of them", "url"
            )
        if auth not in list(Auth):
            self._wrong(f"auth {auth!r} is none of {', '.join(Auth)}", "auth")
            auth = Auth.BEARER
        return Service(
            name,
            None if url == ECHO else url,
            self._key(),
            Auth(auth),
            self._texts("models"),
            self._text("voice"),
            self._texts("principals"),
        )

    def _has_key(self) -> bool:
        return "key-file" in self._entry or "key-env" in self._entry

    def _wrong(self, problem: str, name: str = "name") -> None:
        told = f"{self._called}: {problem}"
        self.problems.append(self._places.tell(told, "backend", self._index, name))

    def _text(self, name: str, *, needed: bool = False) -> str:
        value = self._entry.get(name)
        if value is None and not needed:
            return ""
        if not isinstance(value, str) or not value:
            problem = f"{name} must be a text" if value is not None else f"{name} is missing"
            self._wrong(problem, name)
            return ""
        return value

    def _texts(self, name: str) -> tuple[str, ...]:
        value = self._entry.get(name, [])
        if not isinstance(value, list) or not all(isinstance(each, str) and each for each in value):
            self._wrong(f"{name} must be a list of texts", name)
            return ()
        return tuple(value)

    def _key(self) -> str:
        """The key, from a file or from the environment."""
        file, variable = self._text("key-file"), self._text("key-env")
        if file and variable:
            self._wrong("give key-file or key-env, not both", "key-env")
            return ""
        if variable:
            key = self._environment.get(variable, "").strip()
            if not key:
                self._wrong(f"the environment has no {variable}", "key-env")
        else:
            key = self._read(self._directory / Path(file).expanduser()) if file else ""
        if not key.isascii() or any(each.isspace() for each in key):
            self._wrong(
                "its key is no key: one word of ASCII is needed",
                "key-env" if variable else "key-file",
            )
            return ""
        return key

    def _read(self, path: Path) -> str:
        try:
            mode = path.stat().st_mode
            key = path.read_text(encoding="utf-8").strip()
        except OSError as error:
            remedy = unreadable(error, missing="write the key into it, and chmod 600 it")
            self._wrong(f"cannot read key file {path}: {remedy}", "key-file")
            return ""
        except UnicodeDecodeError:
            self._wrong(f"key file {path} is not text (UTF-8)", "key-file")
            return ""
        if mode & stat.S_IROTH:
            self._wrong(f"key file {path} can be read by everybody: chmod 600 {path}", "key-file")
        elif not key:
            self._wrong(f"key file {path} is empty", "key-file")
        return key


def _basic(url: str) -> dict[str, str]:
    """The header for user name and password of a URL (RFC 7617), where it has them."""
    user, at, _ = urlsplit(url).netloc.rpartition("@")
    if not at:
        return {}
    name, _, password = user.partition(":")
    told = f"{unquote(name)}:{unquote(password)}".encode()
    return {"Authorization": f"Basic {base64.b64encode(told).decode('ascii')}"}


def _url_problem(url: str) -> str | None:
    """What is wrong with the URL of a service; it is not repeated, as it may have a key in it."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in _SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    return None if usable else "the URL of a back end is ws://HOST... or wss://HOST..."
