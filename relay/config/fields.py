"""The kinds of settings, as pydantic reads them from TOML, the environment or the command line."""

from collections.abc import Callable
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator

from relay.wire.endpoint import Endpoint, canonical_host

Choice = TypeVar("Choice", bound=StrEnum)


def setting(
    default: Any = ...,
    *,
    help: str,  # noqa: A002  # as typer calls it
    metavar: str = "TEXT",
    shown: str | None = None,
) -> Any:
    """A field of a `Settings` model.

    Args:
        default: Its value when nobody sets it; ``...`` when somebody must.
        help: What it is, for `--help`.
        metavar: What is written behind its option.
        shown: The default as people read it, where that is not the value itself.
    """
    extra: dict[str, Any] = {"metavar": metavar, "shown": shown}
    return Field(default, description=help, json_schema_extra=extra)


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("must be a text")
    return value


def _no_bool(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be a number")  # noqa: TRY004  # pydantic collects ValueErrors
    return value


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _once(values: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(values))


def _interface_host(value: object) -> str:
    host = canonical_host(_text(value))
    if ip_address(host).is_unspecified:
        raise ValueError(f"{host} is not the address of an interface")
    return host


def _one_host(value: object) -> Endpoint:
    endpoint = Endpoint.parse(_text(value))
    if ip_address(endpoint.host).is_unspecified:
        raise ValueError(f"{endpoint}: name one address, not all of them")
    return endpoint


def _told_host(value: object) -> Endpoint:
    endpoint = Endpoint.parse(_text(value))
    if not endpoint.is_one_host:
        raise ValueError(f"{endpoint} is not the address of one host")
    return endpoint


def _path(value: object) -> Path:
    if isinstance(value, Path):
        return value
    try:
        return Path(_text(value)).expanduser()
    except RuntimeError as error:  # ~somebody who does not exist
        raise ValueError(str(error)) from None


def _redis_url(value: object) -> str:
    text = _text(value)
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("redis", "rediss", "unix") and parts.port != 0
    except ValueError:  # brackets or a port that are none
        usable = False
    if not usable:
        raise ValueError(f"{text!r} is no URL of Redis: write redis://HOST:PORT/DB")
    return text


def one_of(kind: type[Choice]) -> Callable[[object], Choice]:
    """A validator for one of the texts of an enumeration."""

    def read(value: object) -> Choice:
        try:
            return kind(_text(value))
        except ValueError:
            raise ValueError(f"{value!r} is none of {', '.join(kind)}") from None

    return read


Text = Annotated[str, PlainValidator(_text)]
WholeNumber = Annotated[int, BeforeValidator(_no_bool)]
Number = Annotated[float, BeforeValidator(_no_bool), Field(allow_inf_nan=False)]
FilePath = Annotated[Path, PlainValidator(_path)]
Address = Annotated[Endpoint, PlainValidator(lambda value: Endpoint.parse(_text(value)))]
HostAddress = Annotated[Endpoint, PlainValidator(_one_host)]
HostAddresses = Annotated[tuple[HostAddress, ...], BeforeValidator(_list), AfterValidator(_once)]
OneHostAddresses = Annotated[
    tuple[Annotated[Endpoint, PlainValidator(_told_host)], ...],
    BeforeValidator(_list),
    AfterValidator(_once),
]
Hosts = Annotated[
    tuple[Annotated[str, PlainValidator(_interface_host)], ...],
    BeforeValidator(_list),
    AfterValidator(_once),
]
Names = Annotated[tuple[Text, ...], BeforeValidator(_list), AfterValidator(_once)]
RedisUrl = Annotated[str, PlainValidator(_redis_url)]
