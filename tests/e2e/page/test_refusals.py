"""What the page says when there is no call, each by its real cause where one can be made."""

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from selenium.webdriver.common.keys import Keys

from signaling.auth.apikeys import RANDOM_BYTES, new_key
from signaling.auth.privatefiles import change_api_keys
from signaling.pageroutes import PageRoutes
from tests.e2e.page.conftest import Host, Page

# Before the offer leaves, a browser's other self takes codecs out of it, or makes nonsense of it.
CHANGED_OFFER = """
    const fetched = window.fetch;
    window.fetch = (url, options = {}) => {
      const sdp = options.body?.get?.("sdp");
      if (sdp) options.body.set("sdp", sdp.replace(new RegExp(arguments[0], "gm"), arguments[1]));
      return fetched(url, options);
    };
"""


@pytest.fixture(scope="module")
def echo(host: Callable[..., Any]) -> Iterator[Host]:
    with host() as serving:
        yield serving


@pytest.mark.parametrize(
    ("microphone", "said"),
    [
        ("refused", "The microphone was refused.\nAllow it for this page"),
        ("missing", "There is no microphone.\nPlug one in"),
    ],
)
def test_a_microphone_that_cannot_be_had(
    open_browser: Callable[..., Any], echo: Host, microphone: str, said: str
) -> None:
    with open_browser(microphone=microphone) as page:
        page.open(echo.url)
        assert said in page.fail()
        assert page.text("state") == "No call"
        assert page.text("call") == "Talk"
        assert page.run("return document.getElementById('message').role") == "alert"
        assert page.complaints() == []


def test_a_microphone_in_use(page: Page, echo: Host) -> None:
    page.open(echo.url)
    # What the browser throws where the device is another program's; none such is in a test.
    page.run(
        "navigator.mediaDevices.getUserMedia = async () => "
        "{ throw new DOMException('Could not start audio source', 'NotReadableError') }"
    )
    assert "in use by another program.\nClose that program" in page.fail()


def test_more_connections_than_the_browser_allows(page: Page, echo: Host) -> None:
    """Its words have to do, and are not to be waited for in vain."""
    page.open(echo.url)
    page.run(
        "window.kept = [];"
        "try { for (;;) kept.push(new RTCPeerConnection()) } catch { /* there are 500 */ }"
    )
    said = page.fail()
    page.run("kept.forEach((each) => each.close())")
    assert "Cannot create so many PeerConnections" in said
    assert page.text("call") == "Talk"
    (complaint,) = page.complaints()  # for whoever looks what it was
    assert "Cannot create so many PeerConnections" in complaint


def test_a_server_that_has_stopped(page: Page, host: Callable[..., Any]) -> None:
    with host() as serving:
        page.open(serving.url)
    said = page.fail()
    assert f"The signaling server at http://localhost:{serving.port} does not answer." in said


def test_a_device_without_a_network(page: Page, echo: Host) -> None:
    page.open(echo.url)
    cut = {"offline": True, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    page.command("Network.enable")
    page.command("Network.emulateNetworkConditions", **cut)
    try:
        assert "This device is not connected to a network." in page.fail()
    finally:
        page.command("Network.emulateNetworkConditions", **(cut | {"offline": False}))


def test_a_full_server_and_when_to_try_again(page: Page, host: Callable[..., Any]) -> None:
    with host("--capacity", "1") as small:
        page.open(small.url).call()
        page.browser.driver.switch_to.new_window("tab")
        try:
            page.open(small.url)
            said = page.fail()
            assert "The server has no room for a call now." in said
            assert "every transceiver is full" in said  # the server's words
            assert "Try again in " in said
            page.wait(lambda: page.text("state") == "You can try again now")
        finally:
            page.browser.driver.close()
            page.browser.driver.switch_to.window(page.browser.driver.window_handles[0])


def test_no_codec_in_common(page: Page, echo: Host) -> None:
    page.open(echo.url)
    page.run(CHANGED_OFFER, r"^(m=audio \S+ \S+) .*", "$1 111")
    page.run(CHANGED_OFFER, "opus/48000/2", "unheard/48000/2")
    assert "know no audio codec in common" in page.fail()


def test_an_offer_that_is_refused(page: Page, echo: Host) -> None:
    page.open(echo.url)
    page.run(CHANGED_OFFER, "^a=rtcp-mux(-only)?\r\n", "")
    said = page.fail()
    assert "The server refused the call (400)." in said
    assert "a=rtcp-mux" in said  # the server's words


def test_an_answer_that_the_browser_does_not_take(page: Page, echo: Host) -> None:
    page.open(echo.url)
    page.run(
        "const text = Response.prototype.text;"
        "Response.prototype.text = async function () {"
        "return (await text.call(this)).replace('m=audio', 'm=nonsense') }"
    )
    assert "The browser does not accept the server's answer" in page.fail()


def test_a_relay_that_no_packet_reaches(page: Page, host: Callable[..., Any]) -> None:
    with host("--told", "9") as astray:
        page.open(astray.url)
        said = page.fail()
    assert "No packet came back from the relay at 127.0.0.1:9." in said
    assert "That is a loopback address" in said


def test_a_blocked_way_to_a_public_relay(page: Page, echo: Host) -> None:
    page.open(echo.url)
    said = page.browser.run_async(
        "const done = arguments[0]; import('/page/trouble.js')"
        ".then((t) => done(t.noPath(['203.0.113.10:3478']).message))"
    )
    assert "A firewall may block UDP" in said


@pytest.mark.parametrize(
    ("written", "wait"), [("7", 7), ("", 0), ("soon", 0), ("Fri, 01 Jan 2100 00:00:00 GMT", None)]
)
def test_when_to_try_again_is_a_number_or_a_date(
    page: Page, gate: "Gate", written: str, wait: int | None
) -> None:
    gate.refusal = (429, "rate_limit_exceeded", {"Retry-After": written})
    page.open(gate.url)
    said = page.fail()
    assert "You have too many calls, or call too often." in said
    if wait is None:
        assert "Try again in 2" in said
    else:
        assert (f"Try again in {wait} s." if wait else "Try again in a moment.") in said


class Gate:
    """The page, and a server that asks for a key and refuses calls as a test says.

    Attributes:
        keys: The keys that it got with offers.
        sessions: The sessions that it got with offers.
        models: The names of its back ends; None where it does not know of names.
        refusal: Status, code and headers of its answers to offers with a good key.
    """

    GOOD = "ik_good"

    def __init__(self) -> None:
        self.url = ""
        self.keys: list[str | None] = []
        self.sessions: list[str] = []
        self.open = True
        self.models: tuple[str, ...] | None = ("agent", "echo", "glacier")
        self.refusal: tuple[int, str, dict[str, str]] = (503, "no_transceiver", {})

    def application(self) -> web.Application:
        application = web.Application()
        for each in PageRoutes().routes():
            application.router.add_route(each.method, each.path, each.handler)
        application.add_routes(
            [
                web.get("/v1/models", self._list),
                web.post("/v1/realtime/calls", self._refuse),
            ]
        )
        return application

    def _is_let_in(self, request: web.Request) -> bool:
        return self.open or request.headers.get("Authorization") == f"Bearer {self.GOOD}"

    async def _list(self, request: web.Request) -> web.Response:
        if not self._is_let_in(request):
            return _error(401, "invalid_api_key", {})
        if self.models is None:
            return _error(404, "not_found", {})
        models = [{"id": name, "object": "model", "owned_by": "icelane"} for name in self.models]
        return web.json_response({"object": "list", "data": models})

    async def _refuse(self, request: web.Request) -> web.Response:
        self.keys.append(request.headers.get("Authorization"))
        self.sessions.append(str((await request.post())["session"]))
        if not self._is_let_in(request):
            return _error(401, "invalid_api_key", {})
        return _error(*self.refusal)


def _error(status: int, code: str, headers: dict[str, str]) -> web.Response:
    error = {"error": {"type": "invalid_request_error", "code": code, "message": "", "param": None}}
    return web.json_response(error, status=status, headers=headers)


@pytest.fixture
def gate() -> Iterator[Gate]:
    """A gate that serves in a thread of its own."""
    loop, at = asyncio.new_event_loop(), Gate()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def start() -> web.AppRunner:
        runner = web.AppRunner(at.application(), shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        at.url = f"http://localhost:{runner.addresses[0][1]}/"
        return runner

    runner = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    yield at
    asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_a_back_end_is_chosen_by_its_name(page: Page, gate: Gate) -> None:
    page.open(gate.url)
    page.wait(lambda: page.is_shown("model"))
    assert page.text("model").split("\n") == ["The server's default", "agent", "echo", "glacier"]
    page.element("model").send_keys("gl")
    page.fail()
    assert gate.sessions == ['{"type":"realtime","model":"glacier"}']


@pytest.mark.parametrize("models", [None, (), ("echo",)])
def test_one_back_end_is_no_choice(page: Page, gate: Gate, models: tuple[str, ...] | None) -> None:
    gate.models = models
    page.open(gate.url)
    page.fail()
    assert not page.is_shown("model")
    assert gate.sessions == ['{"type":"realtime"}']


def test_who_answers_is_chosen_for_each_call(page: Page, echo: Host) -> None:
    page.open(echo.url)
    page.wait(lambda: page.is_shown("model"))
    for chosen, answered in (("teller", "teller"), ("The", "echo"), ("echo", "echo")):
        page.element("model").send_keys(chosen)
        page.call()
        (created,) = [each for each in page.events("←") if each["type"] == "session.created"]
        assert created["session"]["model"] == answered
        page.click("call")


def test_a_key_is_asked_for_and_kept_only_if_so_chosen(page: Page, gate: Gate) -> None:
    gate.open = False
    page.open(gate.url)
    page.wait(lambda: page.is_shown("key"))
    assert "The server asks for an API key." in page.text("message")
    page.element("key").send_keys("ik_bad" + Keys.ENTER)
    page.wait(lambda: page.is_shown("key"))
    assert "does not accept this API key" in page.fail()
    assert gate.keys == ["Bearer ik_bad"]

    page.element("key").send_keys(gate.GOOD + Keys.ENTER)
    page.wait(lambda: page.is_shown("model"))
    assert not page.is_shown("key")
    assert page.element("key").get_attribute("value") == ""
    assert page.run("return sessionStorage.length + localStorage.length") == 0
    assert "no room" in page.fail()

    page.open(gate.url)  # it has forgotten it
    page.wait(lambda: page.is_shown("key"))
    page.element("key").send_keys(gate.GOOD)
    page.click("key-keep")
    page.click("key-use")
    page.wait(lambda: page.is_shown("model"))
    page.open(gate.url)  # it knows it still
    page.wait(lambda: page.is_shown("model"))
    assert not page.is_shown("key")
    page.run("sessionStorage.clear()")


def test_a_key_is_of_use_in_a_browser_that_keeps_nothing(
    open_browser: Callable[..., Any], gate: Gate
) -> None:
    """One that blocks all cookies throws where a page so much as names its storage."""
    gate.open = False
    with open_browser() as page:
        page.browser.get("chrome://settings/cookies")
        page.run("chrome.send('setDefaultValueForContentType', ['cookies', 'block'])")
        page.open(gate.url)
        assert page.run("try { sessionStorage } catch (error) { return error.name }")
        page.wait(lambda: page.is_shown("key"))
        assert not page.is_shown("key-keep")  # as it cannot be
        page.element("key").send_keys(gate.GOOD + Keys.ENTER)
        page.wait(lambda: page.is_shown("model"))
        assert not page.is_shown("key")
        assert "no room" in page.fail()
        assert gate.keys == [f"Bearer {gate.GOOD}"]
        assert page.complaints() == []


def test_a_real_key_places_a_call_and_ends_it(
    page: Page, host: Callable[..., Any], tmp_path: Path
) -> None:
    file = tmp_path / "keys.toml"
    key, text = new_key("ada", os.urandom(RANDOM_BYTES), datetime.now(UTC))
    change_api_keys(file, lambda keys: keys.with_key(key))
    with host("--keys", str(file)) as guarded:
        page.open(guarded.url)
        page.wait(lambda: page.is_shown("key"))
        assert "asks for an API key" in page.fail()
        page.element("key").send_keys(text + Keys.ENTER)
        page.wait(lambda: page.is_shown("model"))
        page.call()
        page.click("call")
        page.wait(lambda: "hung up" in guarded.log)
        assert text not in guarded.log


def test_a_key_that_may_not_is_explained(page: Page, gate: Gate) -> None:
    gate.refusal = (403, "forbidden", {})
    page.open(gate.url)
    assert "This API key may not do that.\nChoose another back end" in page.fail()
    assert page.is_shown("key")


def test_a_server_that_fails_is_named(page: Page, gate: Gate) -> None:
    gate.refusal = (500, "server_error", {})
    page.open(gate.url)
    assert "The server failed (500).\nTry again" in page.fail()
