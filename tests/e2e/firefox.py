"""A headless Firefox, driven by its own protocol, Marionette: JSON over TCP.

Debian has Firefox and no geckodriver, without which Selenium cannot drive it.
"""

import json
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

WAIT = 60.0  # seconds; a limit
SETTINGS = {
    "marionette.port": 0,  # whichever is free; it is written into the profile
    "media.navigator.streams.fake": True,  # the microphone is a tone
    "media.navigator.permission.disabled": True,
    "media.autoplay.default": 0,
    "media.cubeb.backend": "none",
    "app.normandy.enabled": False,
}
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the WebDriver standard's name of a reference


class Firefox:
    """See `tests.e2e.browser.Browser`.

    Args:
        connection: To its Marionette server.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._stream = connection.makefile("rb")
        self._id = 0
        self._receive()  # it says which protocol it speaks
        self._ask("WebDriver:NewSession", capabilities={})

    def get(self, url: str) -> None:
        self._ask("WebDriver:Navigate", url=url)

    def click(self, element: str) -> None:
        found = self._ask("WebDriver:FindElement", using="css selector", value=f"#{element}")
        self._ask("WebDriver:ElementClick", id=found["value"][_ELEMENT])

    def run(self, script: str, *arguments: Any) -> Any:
        return self._ask("WebDriver:ExecuteScript", script=script, args=arguments)["value"]

    def run_async(self, script: str) -> Any:
        return self._ask("WebDriver:ExecuteAsyncScript", script=script, args=[])["value"]

    def console(self) -> list[dict[str, Any]]:
        return []  # Marionette does not tell it

    def quit(self) -> None:
        self._ask("Marionette:Quit", flags=["eForceQuit"])

    def _ask(self, command: str, **parameters: Any) -> Any:
        self._id += 1
        text = json.dumps([0, self._id, command, parameters]).encode()
        self._connection.sendall(b"%d:%s" % (len(text), text))
        _, number, error, result = self._receive()
        assert number == self._id
        if error:
            raise RuntimeError(f"{command}: {error['message']}")
        return result

    def _receive(self) -> Any:
        length = b""
        while not length.endswith(b":"):
            byte = self._stream.read(1)
            if not byte:
                raise RuntimeError("Firefox has ended")
            length += byte
        return json.loads(self._stream.read(int(length[:-1])))


@contextmanager
def firefox(url: str) -> Iterator[Firefox]:
    """A browser with its own profile.

    Args:
        url: The page that is to be opened; it may use the microphone.
    """
    settings = SETTINGS | {"dom.securecontext.allowlist": urlsplit(url).hostname}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        profile = Path(directory)
        lines = [
            f"user_pref({json.dumps(name)}, {json.dumps(value)});\n"
            for name, value in settings.items()
        ]
        (profile / "user.js").write_text("".join(lines))
        process = subprocess.Popen(
            ["firefox-esr", "--headless", "--marionette", "--no-remote", "--profile", directory],
            env=os.environ | {"HOME": directory},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            with socket.create_connection(("127.0.0.1", _port(process, profile)), WAIT) as to:
                browser = Firefox(to)
                yield browser
                browser.quit()
            process.wait(WAIT)
        finally:
            process.kill()
            process.wait()


def _port(process: subprocess.Popen[bytes], profile: Path) -> int:
    """Where its Marionette server listens, once it does."""
    file = profile / "MarionetteActivePort"
    deadline = time.monotonic() + WAIT
    while not (file.exists() and file.read_text()):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("Firefox does not start")
        time.sleep(0.02)
    return int(file.read_text())
