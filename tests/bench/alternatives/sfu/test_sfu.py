"""Janus: what it says, and calls through it."""

import pytest

from tests.bench.alternatives.sfu.janus import JanusError, plugin_event
from tests.bench.alternatives.sfu.path import SfuPath, files
from tests.bench.compare.benchmarks.callsetup import CallSetup

SFU = SfuPath("janus")


def message(**data: object) -> dict[str, object]:
    return {"janus": "event", "sender": 1, "plugindata": {"data": {"videocall": "event", **data}}}


def test_events_have_names() -> None:
    assert plugin_event(message(result={"event": "registered"})) == "registered"
    assert plugin_event(message(result={"list": []})) is None
    assert plugin_event({"janus": "webrtcup", "sender": 1}) is None


def test_what_a_plugin_refuses_is_told() -> None:
    with pytest.raises(JanusError, match="Username already taken"):
        plugin_event(message(error_code=476, error="Username already taken"))


def test_a_configuration_listens_on_the_inside_only() -> None:
    assert 'ws_ip = "192.0.2.1"' in files()["janus.transport.websockets.jcfg"]


@pytest.mark.e2e
def test_calls_go_through_it() -> None:
    if reason := SFU.missing():
        pytest.skip(reason)
    figures = {each.metric: each.value for each in CallSetup(SFU, calls=2).measure()}
    assert figures["round_trips"] > 1
    assert figures["connected_ms"] > 0
