"""URLs in settings."""

import pytest

from relay.config.urls import check_collector, check_redis, without_secrets


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:4318", "https://c.example/otlp/v1/traces", "http://[::1]:4318"]
)
def test_a_collector_has_a_host_and_perhaps_port_and_path(url: str) -> None:
    assert check_collector(url) == url


@pytest.mark.parametrize(
    "url", ["127.0.0.1:4318", "grpc://c:4317", "http://", "http://c:0", "http://c:x", "http://[c"]
)
def test_what_is_no_url_of_a_collector(url: str) -> None:
    with pytest.raises(ValueError, match=r"is no URL of a collector: write http://HOST:4318$"):
        check_collector(url)


@pytest.mark.parametrize("url", ["http://ann:hidden@c:4318", "http://c:4318/?token=hidden"])
def test_a_secret_in_it_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ValueError, match="OTEL_EXPORTER_OTLP_HEADERS") as refused:
        check_collector(url)
    assert "hidden" not in str(refused.value)


def test_a_url_of_redis_is_told_with_what_is_wrong_with_it() -> None:
    assert check_redis("redis://ann:hidden@h:1/0") == "redis://ann:hidden@h:1/0"
    with pytest.raises(ValueError, match=r"^'redis\+sentinel://\.\.\.@h:1' names no master: write"):
        check_redis("redis+sentinel://ann:hidden@h:1?db=0")


@pytest.mark.parametrize("cut", ["/", "?", "#", "?a=b@", "@x?"])
def test_a_password_that_ends_a_url_too_early_is_not_shown(cut: str) -> None:
    url = f"redis://ann:hid{cut}den@h:1"
    with pytest.raises(ValueError, match=r"%2F for /, %3F for \? and %23 for #") as refused:
        check_redis(url)
    for told in (str(refused.value), without_secrets(url)):
        assert "hid" not in told
        assert "den" not in told


def test_what_may_be_shown_of_a_url() -> None:
    assert without_secrets("redis://ann:hidden@h:1/0?password=hidden") == "redis://...@h:1/0"
    assert without_secrets("http://c:4318") == "http://c:4318"
