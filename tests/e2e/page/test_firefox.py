"""The page in Firefox, which counts other things and reports some of them later."""

import shutil
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.browser import look, wait_until
from tests.e2e.firefox import SETTINGS, firefox

NOTICED = 5.0  # seconds after which a dead relay must be noticed


pytestmark = pytest.mark.skipif(
    not shutil.which("firefox-esr"), reason="needs firefox-esr: `make setup-test`"
)


def own_address() -> str:
    """An address of this host: Firefox uses the loopback for no calls. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("needs an address besides the loopback")
        address: str = probe.getsockname()[0]
        return address


def test_a_call_in_firefox_is_heard_and_placed_anew(host: Callable[..., Any]) -> None:
    address = own_address()
    with host("--address", address) as serving, firefox(serving.url) as browser:
        browser.get(serving.url)
        browser.click("call")
        wait_until(lambda: look(browser)["statistics"].get("energy", 0) > 1e-3)
        wait_until(lambda: "Good: " in look(browser)["shown"])
        called = look(browser)
        assert (called["state"], called["error"]) == ("connected", None)
        assert f"{address}:{serving.vip} over UDP" in called["shown"]
        assert list(called["setup"])[-2:] == ["connected", "audio"]
        serving.kill()
        killed = time.monotonic()
        wait_until(lambda: look(browser)["state"] == "reconnecting")
        assert time.monotonic() - killed < NOTICED
        serving.start()
        wait_until(lambda: look(browser)["state"] == "connected")
        assert look(browser)["location"] != called["location"]
        browser.click("call")
        wait_until(lambda: look(browser)["state"] == "ended")


def test_a_call_in_a_firefox_that_keeps_nothing_and_measures_nothing(
    host: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with all cookies blocked, and with Web Audio switched off against fingerprinting."""
    monkeypatch.setitem(SETTINGS, "network.cookie.cookieBehavior", 2)
    monkeypatch.setitem(SETTINGS, "dom.webaudio.enabled", False)
    with host("--address", own_address()) as serving, firefox(serving.url) as browser:
        browser.get(serving.url)
        assert browser.run("return typeof AudioContext") == "undefined"
        assert browser.run("try { sessionStorage } catch (error) { return error.name }")
        browser.click("call")
        wait_until(lambda: look(browser)["statistics"].get("energy", 0) > 1e-3)
        assert look(browser)["state"] == "connected"
        browser.click("call")
        wait_until(lambda: look(browser)["state"] == "ended")


@pytest.mark.parametrize("off", [("peerconnection",), ("peerconnection", "navigator")])
def test_in_a_firefox_without_webrtc_the_page_says_so(
    host: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, off: tuple[str, ...]
) -> None:
    """Without the second one there are no microphones either."""
    for each in off:
        monkeypatch.setitem(SETTINGS, f"media.{each}.enabled", False)
    with host() as serving, firefox(serving.url) as browser:
        browser.get(serving.url)
        browser.click("call")
        wait_until(lambda: look(browser)["state"] == "failed")
        assert "has no WebRTC, or that is switched off.\n" in look(browser)["shown"]
