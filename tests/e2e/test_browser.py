"""A headless Chromium in the lab's client host talks through the relay, from the page."""

import json
import os
import shutil
import signal
import subprocess
import sys
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from relay.caller.audio import RATE, read_audio
from relay.caller.call import SPEECH
from tests.lab.config import SIGNALING_URL, VIP, Options
from tests.lab.lab import Lab
from tests.lab.topology import CLIENT

pytestmark = [pytest.mark.e2e, pytest.mark.netns]

SCRIPT = Path(__file__).with_name("browser_script.py")
LIMIT = 90.0  # seconds; a browser starts in 2, on a busy machine in several times that

Browse = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module", params=[pytest.param("xdp", marks=pytest.mark.bpf), "userspace"])
def lab(request: pytest.FixtureRequest, bring_up: Callable[[Options], Lab]) -> Lab:
    return bring_up(Options(dataplane=request.param))


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The speech of `icelane call` as WAV, which Chromium takes for its microphone."""
    path = tmp_path_factory.mktemp("audio") / "speech.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(b"".join(read_audio(SPEECH, longest=10)))
    return path


@pytest.fixture(scope="module")
def browse(speech: Path) -> Browse:
    """Press the button of the page in a lab's client; returns what the browser saw."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("needs Chromium (apt-get install chromium chromium-driver)")

    def press(lab: Lab, *arguments: str) -> dict[str, Any]:
        program = [sys.executable, str(SCRIPT), SIGNALING_URL, "--wav", str(speech)]
        program += ["--chromium", chromium, "--chromedriver", driver, *arguments]
        process = subprocess.Popen(
            lab.hosts[CLIENT].command(program),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # so that the browser ends with its script
        )
        try:
            output, errors = process.communicate(timeout=LIMIT)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        assert process.returncode == 0, errors.decode()
        seen: dict[str, Any] = json.loads(output)
        return seen

    return press


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
