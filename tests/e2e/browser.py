"""Presses the button of the page in a headless browser and prints what came of it, as JSON.

It is a program of its own because it runs in the network namespace of a lab's client.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

WAIT = 30.0  # seconds; a limit
LOOK = """return {state: icelane.state, error: icelane.error, setup: icelane.setup,
    statistics: icelane.statistics, events: icelane.events, location: icelane.location,
    shown: document.body.innerText}"""
# The raw statistics, so that the page's own reading of them is not what is tested.
RAW = """const done = arguments[0];
    icelane.pc.getStats().then((report) => done([...report.values()]))"""
QUESTION = '{"type": "session.update", "event_id": "evt_test", "session": {"type": "realtime"}}'
BUTTON = "call"


class Browser(Protocol):
    """What is asked of a browser, whatever drives it."""

    def get(self, url: str) -> None:
        """Open a page."""

    def click(self, element: str) -> None:
        """Click an element, by its id."""

    def run(self, script: str, *arguments: Any) -> Any:
        """What a script returns."""

    def run_async(self, script: str) -> Any:
        """What a script gives to the function that is its last argument."""

    def console(self) -> list[dict[str, Any]]:
        """What was written to the console."""


def opened(arguments: argparse.Namespace) -> AbstractContextManager[Browser]:
    """The browser that is asked for."""
    # Each needs what the other's users need not have.
    if arguments.browser == "firefox":
        from tests.e2e.firefox import firefox

        return firefox(arguments.url)
    from tests.e2e.chromium import chromium

    return chromium(
        arguments.url,
        arguments.wav,
        microphone=arguments.microphone,
        origin=arguments.origin,
        further=arguments.flag,
    )


def wait_until(condition: Callable[[], bool], seen: Callable[[], object] = lambda: "") -> None:
    """Wait for a condition; who waits in vain is told what is seen then."""
    deadline = time.monotonic() + WAIT
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {WAIT:.0f} s {seen()}")
        time.sleep(0.1)


def look(browser: Browser) -> dict[str, Any]:
    seen: dict[str, Any] = browser.run(LOOK)
    return seen


def has_heard(page: dict[str, Any]) -> bool:
    return page["error"] is not None or page["statistics"].get("received", 0) > 100


def has_answer(page: dict[str, Any]) -> bool:
    return any("session.updated" in each["text"] for each in page["events"])


def talk(browser: Browser) -> dict[str, Any]:
    """Call until some audio has come back, ask something on the data channel, hang up."""
    browser.click(BUTTON)
    wait_until(lambda: has_heard(look(browser)))
    if look(browser)["error"]:
        return {"called": look(browser)}
    browser.run("icelane.channel.send(arguments[0])", QUESTION)
    wait_until(lambda: has_answer(look(browser)))
    called, raw = look(browser), browser.run_async(RAW)
    browser.click(BUTTON)
    wait_until(lambda: bool(browser.run("return icelane.pc.connectionState") == "closed"))
    return {"called": called, "raw": raw, "ended": look(browser)}


def be_refused(browser: Browser) -> dict[str, Any]:
    browser.click(BUTTON)
    wait_until(lambda: look(browser)["error"] is not None)
    return {"called": look(browser)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--browser", choices=["chromium", "firefox"], default="chromium")
    parser.add_argument("--wav", required=True, type=Path)
    parser.add_argument("--microphone", choices=["allowed", "refused"], default="allowed")
    parser.add_argument("--origin", choices=["secure", "insecure"], default="secure")
    parser.set_defaults(flag=[])
    arguments = parser.parse_args()
    good = (arguments.microphone, arguments.origin) == ("allowed", "secure")
    with opened(arguments) as browser:
        browser.get(arguments.url)
        seen = talk(browser) if good else be_refused(browser)
        seen["console"] = browser.console()
    json.dump(seen, sys.stdout)


if __name__ == "__main__":
    main()
