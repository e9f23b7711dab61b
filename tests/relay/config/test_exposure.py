import logging

import pytest

from relay.config.exposure import conflicts, is_public, warn
from relay.wire.endpoint import Endpoint

PUBLIC = ["0.0.0.0:9100", "[::]:9100", "8.8.8.8:9100", "[2600::1]:9100"]
INTERNAL = ["127.0.0.1:9100", "[::1]:9100", "10.0.0.1:9100", "100.64.0.1:9100", "[fd00::1]:9100"]


@pytest.mark.parametrize("text", PUBLIC)
def test_an_address_that_strangers_reach_needs_to_be_allowed(
    text: str, caplog: pytest.LogCaptureFixture
) -> None:
    listen = Endpoint.parse(text)
    assert is_public(listen)
    (conflict,) = conflicts(listen, "metrics", "the metrics", allowed=False)
    assert conflict.sentence() == (
        f"everybody who reaches {listen} could use the metrics: name an internal address, such as "
        "127.0.0.1:9100, with --metrics, or write --metrics-public if strangers are kept away by "
        "other means"
    )
    assert conflicts(listen, "metrics", "the metrics", allowed=True) == []
    warn(listen, "metrics", logging.getLogger())
    assert f"strangers may reach metrics at {listen}: let a firewall" in caplog.text


@pytest.mark.parametrize("text", INTERNAL)
def test_an_internal_one_does_not(text: str, caplog: pytest.LogCaptureFixture) -> None:
    listen = Endpoint.parse(text)
    assert not is_public(listen)
    assert conflicts(listen, "metrics", "the metrics", allowed=False) == []
    warn(listen, "metrics", logging.getLogger())
    assert not caplog.records
