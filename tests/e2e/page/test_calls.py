"""Real calls from the page, through a userspace relay over the loopback."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from tests.e2e.page.conftest import Host, Page
from tests.e2e.page.teller import HEARD
from tests.lab.config import icelane
from tests.ports import free_port

NOTICED = 5.0  # seconds after which a dead relay must be noticed
HOLD = 0.5  # seconds that a button is held: over those that say nothing


@pytest.fixture(scope="module")
def echo(host: Callable[..., Any]) -> Iterator[Host]:
    with host("--backend", "echo") as serving:
        yield serving


@pytest.fixture(scope="module")
def teller(host: Callable[..., Any]) -> Iterator[Host]:
    with host("--backend", "teller") as serving:
        yield serving


def hang_up(page: Page) -> None:
    page.click("call")
    page.wait(lambda: page.state == "ended")


def is_heard(page: Page, meter: str = "heard") -> bool:
    """Whether a meter, of what is heard if not said otherwise, moves."""
    level = page.run(
        "return Number(document.getElementById(arguments[0]).style.getPropertyValue('--level'))",
        meter,
    )
    return bool(level > 0.3)


def test_an_echo_is_heard_and_the_connection_is_told_in_words(page: Page, echo: Host) -> None:
    page.open(echo.url).call()
    page.wait(
        lambda: page.run("return icelane.statistics.energy > 1e-3 && 'audio' in icelane.setup")
    )
    page.wait(lambda: is_heard(page))
    page.wait(lambda: is_heard(page, "spoken"))
    page.wait(lambda: "Good: " in page.text("verdict"))
    assert page.text("remote") == f"127.0.0.1:{echo.vip} over UDP"
    assert page.text("rtt").endswith(" ms")
    assert page.text("lost") == "none"
    setup = page.run("return icelane.setup")
    steps = ["microphone", "offer", "answer", "check"]
    assert sorted(setup, key=setup.__getitem__)[:4] == steps
    # The browser may tell late that it is connected, when something was heard already.
    assert setup.keys() - steps == {"connected", "audio"}
    assert page.text("steps-title").startswith("Time to connect: ")
    assert page.text("steps").startswith("Microphone allowed")
    assert page.run("return icelane.location").endswith(page.text("id"))
    hang_up(page)
    assert page.text("state") == "The call has ended"
    assert page.run("return document.querySelectorAll('#controls:not([hidden])').length") == 0


def test_hanging_up_gives_the_place_back(page: Page, host: Callable[..., Any]) -> None:
    with host("--capacity", "1") as small:
        page.open(small.url)
        for _ in range(2):
            page.call()
            hang_up(page)
            page.wait(lambda: page.run("return icelane.pc.connectionState") == "closed")
        page.wait(lambda: small.log.count("hung up") == 2)  # by the route


def test_hanging_up_while_the_answer_is_taken_leaves_nothing_running(
    page: Page, echo: Host
) -> None:
    page.open(echo.url)
    page.run(
        """const take = RTCPeerConnection.prototype.setRemoteDescription;
        const [set, clear] = [window.setInterval, window.clearInterval];
        window.running = new Set();
        window.setInterval = (...given) => {
            const timer = set(...given);
            running.add(timer);
            return timer;
        };
        for (const name of ["clearInterval", "clearTimeout"]) {
            window[name] = (timer) => { running.delete(timer); clear(timer); };
        }
        RTCPeerConnection.prototype.setRemoteDescription = async function (answer) {
            await take.call(this, answer);
            icelane.stop();
            setTimeout(() => { window.taken = true; }); // after what waits for the answer
        };"""
    )
    page.click("call")
    page.wait(lambda: page.run("return window.taken"))
    assert page.state == "ended"
    assert page.run("return running.size") == 0


def test_leaving_the_page_hangs_up(page: Page, host: Callable[..., Any]) -> None:
    with host("--capacity", "1") as small:
        page.open(small.url).call()
        page.open(small.url)
        page.call()  # for which there would be no place
        # By the route, or by DTLS, whichever a browser that leaves gets through first.
        page.wait(lambda: "hung up" in small.log or "closed by the client" in small.log)


def test_what_is_said_is_written_down_and_spoken(page: Page, teller: Host) -> None:
    page.open(teller.url).call()
    page.click("text")
    page.element("text").send_keys("Good morning <b>you</b>" + Keys.ENTER)
    page.wait_for("output_audio_buffer.started")
    page.wait(lambda: page.lines() == ["You: Good morning <b>you</b>", "Other side: It is ten"])
    assert page.element("text").get_attribute("value") == ""
    page.wait(lambda: is_heard(page))
    assert page.kinds("→")[-1] == "response.create"
    told = page.run("return document.getElementById('said').textContent")
    assert told == "You: Good morning <b>you</b>"  # the answer, once it is whole


def test_interrupting_silences_the_other_side(page: Page, teller: Host) -> None:
    page.open(teller.url).call()
    page.element("text").send_keys("Hello" + Keys.ENTER)
    page.wait(lambda: is_heard(page))
    page.click("interrupt")
    page.wait_for("output_audio_buffer.cleared", count=2)  # one is of what was written
    page.wait_for("response.done")
    assert page.kinds("→")[-2:] == ["response.cancel", "output_audio_buffer.clear"]
    page.wait(lambda: not is_heard(page))
    assert page.lines()[-1] == "Other side: It is ten (interrupted)"


def test_writing_into_an_answer_ends_it_first(page: Page, teller: Host) -> None:
    page.open(teller.url).call()
    page.element("text").send_keys("One" + Keys.ENTER)
    page.wait_for("response.created")
    page.element("text").send_keys("Two" + Keys.ENTER)
    page.wait_for("response.created", count=2)
    assert "error" not in page.kinds("←")
    assert page.lines() == [
        *("You: One", "Other side: It is ten (interrupted)"),
        *("You: Two", "Other side: It is ten"),
    ]


def test_what_is_written_as_an_answer_begins_is_answered(page: Page, teller: Host) -> None:
    """A back end that hears for itself begins to answer when it likes, also in this moment."""
    page.open(teller.url).call()
    page.run(
        """for (const text of ["One", "Two"]) {
            document.getElementById("text").value = text;
            document.getElementById("text-form").requestSubmit();
        }"""
    )
    page.wait_for("response.created", count=2)
    page.wait(lambda: page.lines()[-1] == "Other side: It is ten")
    assert page.kinds("←").count("error") == 1
    assert page.lines() == [
        *("You: One", "You: Two"),
        *("Other side: It is ten (interrupted)", "Other side: It is ten"),
    ]


def test_a_turn_is_what_is_said_while_the_button_is_held(page: Page, teller: Host) -> None:
    page.open(teller.url)
    page.run("document.getElementById('mode-hold').click()")
    page.call()
    assert page.events("→")[0]["session"]["audio"]["input"] == {"turn_detection": None}
    sends = "return icelane.pc.getSenders()[0].track.enabled"
    assert page.run(sends) is False
    button = ActionChains(page.browser.driver).click_and_hold(page.element("hold"))
    button.perform()
    assert page.run(sends) is True
    assert page.element("hold").get_attribute("aria-pressed") == "true"
    button.pause(HOLD).release().perform()
    page.wait_for("response.created")
    assert [kind for kind in page.kinds("→") if kind != "session.update"] == [
        "output_audio_buffer.clear",
        "input_audio_buffer.clear",
        "input_audio_buffer.commit",
        "response.create",
    ]
    page.wait(lambda: page.lines() == [f"You: {HEARD}", "Other side: It is ten"])
    assert page.run(sends) is False


def test_a_press_too_short_to_say_anything_is_explained(page: Page, teller: Host) -> None:
    page.open(teller.url)
    page.run("document.getElementById('mode-hold').click()")
    page.call()
    page.click("hold")
    page.wait(lambda: page.lines() == ["Hold the button while you speak."])
    assert "input_audio_buffer.commit" not in page.kinds("→")


def test_the_keyboard_alone_does_it_all(page: Page, teller: Host) -> None:
    page.open(teller.url)
    keys = ActionChains(page.browser.driver)

    def tab_to(element: str) -> None:
        for _ in range(12):
            ActionChains(page.browser.driver).send_keys(Keys.TAB).perform()
            if page.run("return document.activeElement.id") == element:
                outline = page.run(
                    "const e = document.activeElement; return getComputedStyle("
                    "e.matches('.switch input') ? e.nextElementSibling : e).outlineStyle"
                )
                assert outline != "none", f"one does not see that {element} has the focus"
                return
        pytest.fail(f"{element} is not reached")

    tab_to("mode-free")
    keys.send_keys(Keys.ARROW_RIGHT).perform()
    assert page.run("return document.getElementById('mode-hold').checked")
    tab_to("call")
    keys.send_keys(Keys.ENTER).perform()
    page.wait(lambda: page.state == "connected")
    page.wait_for("session.created")
    tab_to("hold")
    ActionChains(page.browser.driver).key_down(" ").pause(HOLD).key_up(" ").perform()
    page.wait_for("response.created")
    tab_to("interrupt")
    ActionChains(page.browser.driver).send_keys(Keys.ENTER).perform()
    page.wait_for("response.done")
    tab_to("text")
    ActionChains(page.browser.driver).send_keys("a b" + Keys.ENTER).perform()
    page.wait(lambda: "You: a b" in page.lines())
    page.run("document.activeElement.blur()")
    ActionChains(page.browser.driver).key_down(" ").pause(HOLD).key_up(" ").perform()
    page.wait_for("input_audio_buffer.committed", count=2)  # the space bar, from anywhere else
    page.run("document.getElementById('call').focus()")
    ActionChains(page.browser.driver).send_keys(" ").perform()
    page.wait(lambda: page.state == "ended")


def test_muting_keeps_the_microphone_to_oneself(page: Page, echo: Host) -> None:
    page.open(echo.url).call()
    page.wait(lambda: is_heard(page))
    page.click("mute")
    assert page.element("mute").get_attribute("aria-pressed") == "true"
    page.wait(lambda: not is_heard(page))
    assert page.text("state") == "Connected: your microphone is muted"
    page.click("mute")
    page.wait(lambda: is_heard(page))


def test_events_are_listed_and_open(page: Page, teller: Host) -> None:
    page.open(teller.url).call()
    page.wait_for("session.updated")
    page.click("events-title")
    count = int(page.text("event-count"))
    assert count == page.run("return icelane.events.length") > 2
    page.run("document.querySelector('#log li summary').click()")
    page.wait(lambda: page.run("return Boolean(document.querySelector('#log pre')?.textContent)"))
    newest = json.loads(page.run("return document.querySelector('#log pre').textContent"))
    assert newest["type"] == "session.updated"
    granted = ["clipboardReadWrite", "clipboardSanitizedWrite", "audioCapture"]
    page.command("Browser.grantPermissions", permissions=granted)
    page.click("copy")
    page.wait(lambda: page.text("copy") == "Copied")
    done = "const done = arguments[0]; navigator.clipboard.readText().then(done)"
    copied = page.browser.run_async(done).splitlines()
    assert [json.loads(each) for each in copied] == page.run("return icelane.events")


def test_a_lost_call_is_noticed_and_placed_anew_by_itself(
    page: Page, host: Callable[..., Any]
) -> None:
    with host("--backend", "teller") as serving:
        page.open(serving.url).call()
        page.element("text").send_keys("Remember this" + Keys.ENTER)
        page.wait(lambda: page.lines()[-1:] == ["Other side: It is ten"])
        first = page.run("return icelane.location")
        serving.kill()
        killed = time.monotonic()
        page.wait(lambda: page.state == "reconnecting")
        assert time.monotonic() - killed < NOTICED
        assert page.text("state") == "The connection was lost; calling again"
        serving.start()
        page.wait(lambda: page.state == "connected")
        assert page.run("return icelane.location") != first
        page.wait_for("session.created", count=2)
        assert page.lines() == [
            "You: Remember this",
            "Other side: It is ten (interrupted)",
            "The connection was lost; calling again.",
            "Connected again. The other side began anew, and was told what had been said.",
        ]
        told = [each["item"] for each in page.events("→") if "item" in each][1:]
        assert [(each["role"], each["content"][0]["text"]) for each in told] == [
            ("user", "Remember this"),
            ("assistant", "It is ten"),
        ]
        page.element("text").send_keys("And now" + Keys.ENTER)
        page.wait(lambda: page.lines()[-1:] == ["Other side: It is ten"])
        page.wait(lambda: is_heard(page))


@pytest.fixture(scope="module")
def agent() -> Iterator[str]:
    """The URL of a real agent, in a process of its own."""
    port = free_port()
    command = [icelane(), "agent", "run", "--listen", f"127.0.0.1:{port}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("ready")
        yield f"ws://127.0.0.1:{port}/v1/realtime"
        process.terminate()


def _after(page: Page, line: str) -> list[str]:
    """The lines of the transcript that follow one."""
    lines = page.lines()
    return lines[lines.index(line) + 1 :] if line in lines else []


def test_a_conversation_goes_on_when_relay_transceiver_and_signaling_die(
    page: Page, host: Callable[..., Any], agent: str
) -> None:
    with host("--backend", agent) as serving:
        page.open(serving.url).call()
        page.click("mute")  # the microphone of the test speaks all the time
        page.wait(lambda: page.text("forwarder") == "In a process (userspace)")
        page.element("text").send_keys("what can you do" + Keys.ENTER)
        # What its microphone said before it was muted may be answered, too.
        page.wait(lambda: any("time" in each for each in _after(page, "You: what can you do")))
        page.wait(lambda: page.kinds("←")[-1] == "output_audio_buffer.stopped")
        (first,) = [each["item"] for each in page.events("→") if "item" in each]
        said = page.lines()
        serving.kill()
        killed = time.monotonic()
        page.wait(lambda: page.state == "reconnecting")
        assert time.monotonic() - killed < NOTICED
        serving.start()
        page.wait_for("session.created", count=2)
        page.wait(lambda: page.lines()[-1] == "Connected again; the conversation goes on.")
        assert page.lines()[: len(said)] == said, "what was said stays"
        ids = [each["session"]["id"] for each in page.events("←") if "session" in each]
        assert len(set(ids)) == 1
        retrieve = {"type": "conversation.item.retrieve", "item_id": first["id"]}
        page.run("icelane.channel.send(arguments[0])", json.dumps(retrieve))
        page.wait_for("conversation.item.retrieved")
        page.element("text").send_keys("what time is it" + Keys.ENTER)
        page.wait(lambda: page.lines()[-1].startswith("Other side: "))


def test_calling_again_can_be_given_up(page: Page, host: Callable[..., Any]) -> None:
    with host() as serving:
        page.open(serving.url).call()
        serving.kill()
        page.wait(lambda: page.state == "reconnecting")
        page.click("call")
        assert page.state == "ended"
        assert page.run("return icelane.pc?.connectionState ?? 'closed'") == "closed"
