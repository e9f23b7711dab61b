"""The kinds of settings, as pydantic reads them from TOML, the environment or the command line."""

from collections.abc import Callable
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator

from relay.config.urls import check_collector, check_redis
from relay.wire.endpoint import Endpoint, canonical_host

Choice = TypeVar("Choice", bound=StrEnum)


def setting(
    default: Any = ...,
    *,
    help: str,  # noqa: A002  # as typer calls it
    metavar: str = "TEXT",
    shown: str | None = None,
    example: Any = None,
) -> Any:
    """A field of a `Settings` model.

    Args:
        default: Its value when nobody sets it; ``...`` when somebody must.
        help: What it is, for `--help`.
        metavar: What is written behind its option.
        shown: The default as people read it, where that is not the value itself.
        example: A value as one writes it into a file, for an example of one.
    """
    extra: dict[str, Any] = {"metavar": metavar, "shown": shown, "example": example}
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


def _network(value: object) -> IPv4Network | IPv6Network:
    try:
        return ip_network(_text(value))
    except ValueError as error:
        raise ValueError(f"{error}: write an address or ADDRESS/PREFIX") from None


def _path(value: object) -> Path:
    if isinstance(value, Path):
        return value
    try:
        return Path(_text(value)).expanduser()
    except RuntimeError as error:  # ~somebody who does not exist
        raise ValueError(str(error)) from None


def _cluster(value: object) -> int:
    number = int(value) if isinstance(value, str) and value.isdecimal() else value
    if type(number) is not int or not 0 <= number <= 0xFFFF:
        raise ValueError("must be a number from 0 to 65535")
    return number


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
FilePaths = Annotated[tuple[FilePath, ...], BeforeValidator(_list), AfterValidator(_once)]
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
Networks = Annotated[
    tuple[Annotated[IPv4Network | IPv6Network, PlainValidator(_network)], ...],
    BeforeValidator(_list),
    AfterValidator(_once),
]
Clusters = Annotated[
    tuple[Annotated[int, PlainValidator(_cluster)], ...],
    BeforeValidator(_list),
    AfterValidator(_once),
]
RedisUrl = Annotated[str, PlainValidator(lambda value: check_redis(_text(value)))]
CollectorUrl = Annotated[str, PlainValidator(lambda value: check_collector(_text(value)))]
Share = Annotated[Number, Field(ge=0, le=1)]


def tracing_setting() -> Any:
    """Where spans are sent; each service has it."""
    return setting(
        None,
        help="where spans of calls' set-ups are sent: an OpenTelemetry collector's OTLP over HTTP",
        metavar="URL",
        shown="that of OTEL_EXPORTER_OTLP_ENDPOINT, or nowhere",
        example="http://127.0.0.1:4318",
    )


def tracing_ratio_setting() -> Any:
    """Of how many calls; each service has it."""
    return setting(
        1.0,
        help="the share of calls of which spans are sent, 0 to 1: the same for all services",
        metavar="NUMBER",
        shown="1",
    )
