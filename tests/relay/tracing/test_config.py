"""Whether traces are wanted, and where."""

import pytest

from relay.errors import ConfigError
from relay.tracing.config import TracingConfig

URL = "http://127.0.0.1:4318"


def config(
    url: str | None = None, environment: dict[str, str] | None = None, *, installed: bool = True
) -> TracingConfig | None:
    return TracingConfig.of(url, 1.0, environment or {}, installed=lambda: installed)


def test_nobody_wants_traces_unless_somebody_says_so() -> None:
    assert config(installed=False) is None
    assert config(environment={"OTEL_SERVICE_NAME": "x", "OTEL_EXPORTER_OTLP_ENDPOINT": ""}) is None


@pytest.mark.parametrize("url", [URL, URL + "/", URL + "/v1/traces", URL + "/v1/traces/"])
def test_the_setting_names_the_collector(url: str) -> None:
    found = config(url)
    assert found is not None
    assert found.url == "http://127.0.0.1:4318/v1/traces"


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "https://c.example:4318/otlp"}, "/otlp/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://c.example:4318/as-it-is"}, "/as-it-is"),
    ],
)
def test_the_environment_names_it_as_everywhere(environment: dict[str, str], url: str) -> None:
    found = config(environment=environment)
    assert found is not None
    assert found.url == "https://c.example:4318" + url


def test_a_setting_counts_more_than_the_environment() -> None:
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://other:1",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://other:2",
        "OTEL_SDK_DISABLED": "true",
    }
    found = config(URL, environment)
    assert found is not None
    assert found.url == URL + "/v1/traces"


@pytest.mark.parametrize("off", [{"OTEL_SDK_DISABLED": " TRUE"}, {"OTEL_TRACES_EXPORTER": "none"}])
def test_the_environment_turns_off_what_it_has_turned_on(off: dict[str, str]) -> None:
    assert config(environment={"OTEL_EXPORTER_OTLP_ENDPOINT": URL, **off}) is None


def test_what_is_missing_is_told_with_what_to_install() -> None:
    with pytest.raises(ConfigError, match=r"^tracing says .* `pip install 'icelane\[tracing\]'`"):
        config(URL, installed=False)
    with pytest.raises(ConfigError, match=r"^OTEL_EXPORTER_OTLP_ENDPOINT says"):
        config(environment={"OTEL_EXPORTER_OTLP_ENDPOINT": URL}, installed=False)


def test_an_environment_that_names_no_url() -> None:
    with pytest.raises(ConfigError, match=r"^OTEL_EXPORTER_OTLP_ENDPOINT: 'c:4317/v1/traces' is"):
        config(environment={"OTEL_EXPORTER_OTLP_ENDPOINT": "c:4317"})


def test_the_packages_are_those_of_the_extra() -> None:
    assert TracingConfig.of(URL, 0.5, {}) == TracingConfig(URL + "/v1/traces", 0.5)


def test_a_protocol_that_is_not_spoken_is_told() -> None:
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": URL}
    grpc = {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    with pytest.raises(ConfigError, match=r"^OTEL_EXPORTER_OTLP_PROTOCOL is grpc, and .* tracing$"):
        config(environment={**endpoint, **grpc})
    spoken = {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"}
    assert config(environment={**endpoint, **grpc, **spoken}) is not None
    assert config(URL, grpc) is not None
