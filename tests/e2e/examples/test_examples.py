"""Each example of docs/examples, run as its first lines say, against a running `icelane up`."""

import contextlib
import importlib.util
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import pytest
from openai import OpenAI
from selenium.webdriver.common.by import By

from tests.e2e.browser import wait_until
from tests.e2e.chromium import Chromium, chromium
from tests.e2e.examples.conftest import EXAMPLES, LIMIT, Example
from tests.e2e.nodemodules import MODULES
from tests.e2e.serving import Served
from tests.e2e.site import served
from tests.e2e.spoken import said, silence, write
from tests.lab.clients.kinds import BUILT

SUM, FORTY_TWO = "what is seven times six?", "That is 42."
SUNNY = "In Paris it is sunny, with 18 degrees."
PION = BUILT / "examples" / "pion"
FLAGS = ["--allow-loopback-in-peer-connection"]
HOLD_BACK = """const devices = navigator.mediaDevices, ask = devices.getUserMedia.bind(devices);
    devices.getUserMedia = async (wanted) => {
        const stream = await ask(wanted);
        [window.microphone] = stream.getAudioTracks();
        window.microphone.enabled = false;
        return stream;
    };"""


def test_text_in_python(example: Example, server: Served) -> None:
    assert example.python(server, "python/text.py", SUM) == [FORTY_TWO]


def test_text_in_node(example: Example, secure: Served) -> None:
    assert example.javascript(secure, "text.mjs", SUM) == [FORTY_TWO]


def test_an_agent_in_node(example: Example, server: Served) -> None:
    tool, agent, sound = example.javascript(server, "agents.mjs")
    assert (tool, agent) == (f"get_weather: {SUNNY}", f"agent: {SUNNY}")
    assert float(sound.split()[1]) > 1


def test_pipecat(example: Example, server: Served) -> None:
    tool, agent, sound = example.run(server, plugin("pipecat"), "pipecat/agent.py")
    assert (tool, agent) == ("get_weather: Paris", f"agent: {SUNNY}")
    assert float(sound.split()[1]) > 1


def test_livekit(example: Example, server: Served) -> None:
    tool, agent = example.run(server, plugin("livekit"), "livekit/agent.py")
    assert (tool, agent) == ("get_weather: Paris", f"agent: {SUNNY}")


def plugin(name: str) -> str:
    """The interpreter that has a framework."""
    interpreter = BUILT / name / "bin" / "python"
    if not interpreter.exists():
        pytest.skip(f"needs {name}, hundreds of megabytes: `make setup-plugins`")
    return str(interpreter)


@pytest.mark.alone  # as all in which somebody is understood who speaks in real time
def test_a_call_in_python(example: Example, server: Served, question: Path, tmp_path: Path) -> None:
    recorded = tmp_path / "answer.wav"
    call, you, agent = example.python(server, "python/call.py", str(question), str(recorded))
    assert call.startswith("call: rtc_")
    assert you == "you: what time is it"
    assert agent.startswith("agent: It is ")
    with av.open(str(recorded)) as file:
        loudest = max(int(frame.to_ndarray().max()) for frame in file.decode(audio=0))
    assert loudest > 1000


def test_who_is_beside_a_call_has_something_said_in_it(
    example: Example, server: Served, tmp_path: Path
) -> None:
    nothing, answer = tmp_path / "silence.wav", tmp_path / "answer.wav"
    write(nothing, silence(LIMIT))
    call = example.start(server, sys.executable, "python/call.py", str(nothing), str(answer))
    try:
        assert call.stdout is not None
        call_id = call.stdout.readline().split()[1]
        beside = example.python(server, "python/sideband.py", call_id, SUM)
        output, errors = call.communicate(timeout=LIMIT)
    finally:
        call.kill()
    assert call.returncode == 0, errors
    assert beside[-1] == "the call has ended"
    assert f"agent: {FORTY_TWO}" in beside
    assert f"agent: {FORTY_TWO}" in output


def test_a_call_that_there_is_not(example: Example, server: Served) -> None:
    process = example.start(server, sys.executable, "python/sideband.py", "rtc_1-1-1-x", SUM)
    _, errors = process.communicate(timeout=LIMIT)
    assert process.returncode == 1
    assert errors.splitlines() == ["There is no such call, or it has ended."]


@pytest.mark.alone
def test_pion(example: Example, server: Served, question: Path, tmp_path: Path) -> None:
    if not PION.exists():
        pytest.skip("needs the program with Pion: `make setup-test`")
    spoken = tmp_path / "question.opus"
    encode(question, spoken)
    you, agent, packets = example.run(server, str(PION), str(spoken))
    assert you == "you: what time is it"
    assert agent.startswith("agent: It is ")
    assert int(packets.split()[1]) > 50


def encode(wav: Path, opus: Path) -> None:
    """Encode a file, with a frame of 20 ms in each page."""
    options = {"page_duration": "20000"}
    with av.open(str(wav)) as source, av.open(str(opus), "w", "ogg", options=options) as sink:
        stream = sink.add_stream("libopus", rate=48_000, layout="mono")
        resampler = av.AudioResampler("s16", "mono", 48_000)
        for frame in source.decode(audio=0):
            for piece in resampler.resample(frame):
                sink.mux(stream.encode(piece))
        sink.mux(stream.encode(None))


def whip(server: Served) -> str:
    return server.url.removesuffix("/v1") + "/whip"


def test_whip_by_curl(example: Example, server: Served) -> None:
    lines = example.run(server, "sh", "whip/session.sh", whip(server))
    assert "Accept-Post: application/sdp" in lines
    assert "a=ice-lite" in lines
    assert lines[lines.index("# PATCH: a candidate") + 1] == "204"
    assert lines[-1] == "200"


def test_whip_by_gstreamer(example: Example, server: Served, tmp_path: Path) -> None:
    if importlib.util.find_spec("gi") is None:
        pytest.skip("needs GStreamer's Python bindings: `make setup-test`")
    file = tmp_path / "speech.wav"
    write(file, said("What time is it?") + silence(1.0))
    lines = example.python(server, "whip/publish.py", whip(server), str(file))
    assert lines[0].startswith(f"session: {whip(server)}/rtc_")
    assert "connected" in lines


@pytest.fixture
def opened(question: Path) -> Iterator[Callable[[Path], Chromium]]:
    """Opens a page of a folder in Chromium, whose microphone asks for the time."""
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.skip("needs chromium and chromedriver: `make setup-test`")
    with contextlib.ExitStack() as stack:

        def opened(page: Path) -> Chromium:
            site = stack.enter_context(served(page.parent))
            browser = stack.enter_context(
                chromium(site, question, microphone="allowed", origin="secure", further=FLAGS)
            )
            browser.get(f"{site}/{page.name}")
            return browser

        yield opened


def connect(browser: Chromium, server: Served) -> None:
    """Fill in where the server is and the client secret, and press the button."""
    for name, text in (("server", server.url.removesuffix("/v1")), ("secret", secret(server))):
        field = browser.driver.find_element(By.NAME, name)
        field.clear()
        field.send_keys(text)
    browser.driver.find_elements(By.TAG_NAME, "button")[0].click()


def said_in(browser: Chromium) -> list[str]:
    rows: list[str] = browser.run(
        "return [...document.querySelectorAll('li')].map((row) => row.innerText)"
    )
    return rows


def wait_for_row(browser: Chromium, begin: str) -> None:
    def there() -> bool:
        return any(row.startswith(begin) for row in said_in(browser))

    wait_until(there, lambda: (begin, said_in(browser)))


@pytest.mark.alone
def test_a_page_without_a_package(opened: Callable[[Path], Chromium], server: Served) -> None:
    browser = opened(EXAMPLES / "browser" / "index.html")
    connect(browser, server)
    wait_for_row(browser, "you: what time is it")
    wait_for_row(browser, "agent: It is ")


@pytest.mark.alone
def test_a_page_with_an_agent(
    opened: Callable[[Path], Chromium], server: Served, example: Example
) -> None:
    if not MODULES.exists():
        pytest.skip("needs the packages of npm: `make setup-test`")
    browser = opened(example.node / "agents.html")
    # What is written while the agent begins to answer what is said would be refused.
    browser.run(HOLD_BACK)
    connect(browser, server)
    send = browser.driver.find_elements(By.TAG_NAME, "button")[1]
    wait_until(send.is_enabled)
    send.click()
    wait_for_row(browser, f"assistant: {SUNNY}")
    assert "tool: get_weather" in said_in(browser)
    browser.run("microphone.enabled = true")
    wait_for_row(browser, "assistant: It is ")


def secret(server: Served) -> str:
    """A client secret, as an application's server gets it for a page."""
    with OpenAI(api_key="none", base_url=server.url) as api:
        return api.realtime.client_secrets.create().value
