"""A headless Chromium in the lab's client host talks through the relay, from the page."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.lab.config import VIP, Options
from tests.lab.lab import Lab

pytestmark = [pytest.mark.e2e, pytest.mark.netns]

Browse = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module", params=[pytest.param("xdp", marks=pytest.mark.bpf), "userspace"])
def lab(request: pytest.FixtureRequest, bring_up: Callable[[Options], Lab]) -> Lab:
    return bring_up(Options(dataplane=request.param))


@pytest.fixture(scope="module")
def talk(lab: Lab, browse: Browse) -> dict[str, Any]:
    seen = browse(lab)
    assert seen["called"]["error"] is None, seen["called"]
    return seen


def statistic(raw: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    return next(
        each for each in raw if each["type"] == kind and each.get("kind", "audio") == "audio"
    )


def test_the_audio_that_comes_back_has_energy(talk: dict[str, Any]) -> None:
    inbound = statistic(talk["raw"], "inbound-rtp")
    assert inbound["packetsReceived"] > 100
    assert inbound["packetsLost"] == 0
    assert inbound["totalAudioEnergy"] > 1e-3


def test_the_selected_remote_candidate_is_the_vip(talk: dict[str, Any]) -> None:
    raw = {each["id"]: each for each in talk["raw"]}
    transport = statistic(talk["raw"], "transport")
    assert transport["dtlsState"] == "connected"
    pair = raw[transport["selectedCandidatePairId"]]
    remote = raw[pair["remoteCandidateId"]]
    assert (remote["address"], remote["port"], remote["protocol"]) == (*VIP, "udp")
    assert remote["candidateType"] == "host"  # learnt from the answer, not from a packet
    assert {each["address"] for each in talk["raw"] if each["type"] == "remote-candidate"} == {
        VIP.host
    }


def test_the_page_shows_the_call(talk: dict[str, Any]) -> None:
    called = talk["called"]
    assert called["state"] == "connected"
    assert str(VIP) in called["shown"]
    assert called["statistics"]["energy"] > 1e-3
    assert 0 < called["setup"]["connected"] < 5000
    assert called["location"].split("/")[-1] in called["shown"]


def test_the_data_channel_answers(talk: dict[str, Any]) -> None:
    received = [json.loads(e["text"]) for e in talk["called"]["events"] if e["direction"] == "←"]
    assert [event["type"] for event in received] == ["session.created", "session.updated"]


def test_hanging_up_ends_the_call_and_leaves_no_error(talk: dict[str, Any]) -> None:
    assert talk["ended"]["state"] == "ended"
    assert [each["message"] for each in talk["console"]] == []


def test_a_refused_microphone_is_explained(lab: Lab, browse: Browse) -> None:
    seen = browse(lab, "--microphone", "refused")["called"]
    assert "The microphone was refused" in seen["shown"]
    assert (seen["state"], seen["location"]) == ("failed", None)


def test_an_insecure_origin_is_explained(lab: Lab, browse: Browse) -> None:
    seen = browse(lab, "--origin", "insecure")["called"]
    assert "only to pages from https:// or from localhost" in seen["shown"]
    assert (seen["state"], seen["location"]) == ("failed", None)
