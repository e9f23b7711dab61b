"""Runs a function of `page.html` in a headless browser and prints what it has seen, as JSON.

With what its session has counted, as `counted`.

It is a program of its own because it runs in the network namespace of a lab's client. The page is
served on that host, so from another origin than the server's. It is not on its loopback: Firefox
calls from the address that the page's host is reached from.
"""

import argparse
import http.client
import json
import sys
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from signaling.callid import CALLS
from tests.e2e.browser import opened
from tests.e2e.site import served

PAGE = Path(__file__).parent


def call(function: str, *arguments: str) -> str:
    """The script that calls a function of the page, for `Browser.run_async`."""
    given = ", ".join(map(json.dumps, arguments))
    return (
        f"const done = arguments[0]; {function}({given}).then(done, "
        "(error) => done({error: String(error), stack: error.stack}))"
    )


def ended(session: str) -> dict[str, Any]:
    """End a session of WHIP as a call, by its URL; what was counted."""
    place = urlsplit(session)
    with closing(http.client.HTTPConnection(place.netloc, timeout=10)) as connection:
        connection.request("DELETE", f"{CALLS}/{place.path.rsplit('/', 1)[1]}")
        counted: dict[str, Any] = json.loads(connection.getresponse().read())
    return counted


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("function", help="a function of the page")
    parser.add_argument("argument", nargs="*", help="what it is called with")
    parser.add_argument("--host", required=True, help="the address that the page is served on")
    parser.add_argument("--browser", choices=["chromium", "firefox"], required=True)
    parser.add_argument("--wav", required=True, type=Path)
    parser.set_defaults(microphone="allowed", origin="secure", flag=[])
    arguments = parser.parse_args()
    with served(PAGE, arguments.host, arguments.host) as url:
        arguments.url = f"{url}/page.html"
        with opened(arguments) as browser:
            browser.get(arguments.url)
            seen: dict[str, Any] = browser.run_async(call(arguments.function, *arguments.argument))
            if "session" in seen:  # before the browser says goodbye
                seen["counted"] = ended(seen["session"])
    json.dump(seen, sys.stdout)


if __name__ == "__main__":
    main()
