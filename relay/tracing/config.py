"""Whether traces are wanted, and where: by a setting, or as OpenTelemetry's environment says."""

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

from relay.config.urls import check_collector
from relay.errors import ConfigError

#: In the order of their weight. The first is the whole URL, the second one's has a path added.
_EXACT, _BASE = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"
_PATH = "/v1/traces"
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL = "http/protobuf"
_PACKAGES = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http")


def _installed() -> bool:
    try:
        return all(importlib.util.find_spec(each) is not None for each in _PACKAGES)
    except ModuleNotFoundError:  # not even what they lie in
        return False


@dataclass(frozen=True, slots=True)
class TracingConfig:
    """Where spans are sent, and of how many calls.

    Attributes:
        url: Where they are POSTed (OTLP over HTTP).
        ratio: The share of calls, from 0 to 1.
    """

    url: str
    ratio: float = 1.0

    @classmethod
    def of(
        cls,
        url: str | None,
        ratio: float,
        environment: Mapping[str, str],
        *,
        installed: Callable[[], bool] = _installed,
    ) -> Self | None:
        """What settings and environment say; None where nobody wants traces.

        Args:
            url: The setting: where the collector is.
            ratio: The setting: of how many calls.
            environment: The environment's variables. Headers, certificates and time-outs in it are
                read where spans are sent.
            installed: Whether the packages are there that send spans.

        Raises:
            ConfigError: The environment's URL or protocol cannot be used, or the packages are
                missing.
        """
        source = "tracing"
        if url is not None:
            found = _with_path(url)
        elif _is_off(environment):
            return None
        elif environment.get(_EXACT):
            source, found = _EXACT, environment[_EXACT]
        elif environment.get(_BASE):
            source, found = _BASE, _with_path(environment[_BASE])
        else:
            return None
        if url is None:
            _require_protocol(environment)
        try:
            check_collector(found)
        except ValueError as error:
            raise ConfigError(f"{source}: {error}") from None
        if not installed():
            raise ConfigError(
                f"{source} says where spans are sent, and what sends them is not installed: "
                "`pip install 'icelane[tracing]'`, or leave it out"
            )
        return cls(found, ratio)


def _require_protocol(environment: Mapping[str, str]) -> None:
    name = next((each for each in _PROTOCOLS if environment.get(each)), None)
    if name is not None and environment[name] != _PROTOCOL:
        raise ConfigError(
            f"{name} is {environment[name]}, and spans are sent by {_PROTOCOL}: name the "
            "collector's port for that, mostly 4318, with the setting tracing"
        )


def _is_off(environment: Mapping[str, str]) -> bool:
    disabled = environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    return disabled or environment.get("OTEL_TRACES_EXPORTER", "").strip().lower() == "none"


def _with_path(url: str) -> str:
    bare = url.rstrip("/")
    return bare if bare.endswith(_PATH) else bare + _PATH
