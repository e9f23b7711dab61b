"""A headless browser: Chromium or Firefox."""

import argparse
import json
import queue
import sys
import threading
from pathlib import Path
from typing import Any

from tests.e2e.browser import Browser, opened
from tests.lab.clients.drivers.interface import emit, negotiated

_POLL_SECONDS = 0.05  # between two looks at the page; events carry their own time
_SCRIPT = Path(__file__).with_name("page.js")


def _commands() -> "queue.Queue[dict[str, Any]]":
    """The commands as they come; the end of the input is a hang-up."""
    waiting: queue.Queue[dict[str, Any]] = queue.Queue()

    def read() -> None:
        for line in sys.stdin:
            waiting.put(json.loads(line))
        waiting.put({"command": "hangup"})

    threading.Thread(target=read, daemon=True).start()
    return waiting


def _tell(browser: Browser) -> None:
    for event in browser.run("return window.client.events.splice(0)"):
        emit(event.pop("event"), **event)


def _serve(browser: Browser) -> None:
    waiting = _commands()
    while True:
        try:
            command = waiting.get(timeout=_POLL_SECONDS)
        except queue.Empty:
            _tell(browser)
            continue
        if command["command"] == "hangup":
            browser.run("window.client.pc.close()")
            _tell(browser)
            return
        browser.run("window.client.run(window.client.obey(arguments[0]))", command)
        _tell(browser)


def main() -> None:
    """Run it until it is told to hang up."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url", help="a page from where the microphone may be used")
    parser.add_argument("--browser", choices=["chromium", "firefox"], required=True)
    parser.add_argument("--wav", required=True, type=Path)
    parser.add_argument("--flag", action="append", default=[], help="for Chromium")
    parser.set_defaults(microphone="allowed", origin="secure")
    arguments = parser.parse_args()
    with opened(arguments) as browser:
        browser.get(arguments.url)
        start = f"client.run(client.start({json.dumps(negotiated())}));"
        browser.run(_SCRIPT.read_text("utf-8") + start)
        _serve(browser)
    emit("closed")


if __name__ == "__main__":
    main()
