"""A page in a headless Chromium, and what serves it: a real relay and a real transceiver."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from tests.e2e.browser import wait_until
from tests.e2e.chromium import Chromium, chromium
from tests.ports import free_port

ROOT = Path(__file__).parent.parent.parent.parent
# A browser uses loopback addresses for calls only when told so.
LOOPBACK_CALLS = ["--allow-loopback-in-peer-connection"]
ALIVE = """return document.readyState === "complete" && Boolean(window.icelane)"""


@dataclass
class Host:
    """A process that serves the page and calls; see `tests.e2e.page.host`."""

    options: list[str]
    log_file: Path
    port: int = field(default_factory=free_port)
    vip: int = field(default_factory=free_port)
    process: subprocess.Popen[str] | None = None

    @property
    def log(self) -> str:
        """What it has logged."""
        return self.log_file.read_text("utf-8")

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}/"

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.e2e.page.host"]
        command += ["--listen", str(self.port), "--vip", str(self.vip), *self.options]
        with self.log_file.open("a") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def kill(self) -> None:
        """As by a power failure: nothing is said to anybody."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None


@dataclass
class Page:
    """The page, as who sits before it has it."""

    browser: Chromium

    def open(self, url: str) -> "Page":
        self.browser.get(url)
        self.wait(lambda: self.run(ALIVE))
        return self

    def run(self, script: str, *arguments: Any) -> Any:
        return self.browser.run(script, *arguments)

    def wait(self, condition: Callable[[], Any]) -> None:
        try:
            wait_until(lambda: bool(condition()))
        except TimeoutError:
            raise TimeoutError(self._so_far()) from None

    def _so_far(self) -> str:
        """What happened last, for who finds out why something did not."""
        if not self.run(ALIVE):
            return "the page is not there"
        events = self.run(
            "return icelane.events.slice(-20).map((e) =>"
            " e.direction + (e.text.startsWith('{') ? JSON.parse(e.text).type : e.text))"
        )
        return f"{self.state}; it says {self.lines()[-8:]}; the last events are {events}"

    def element(self, name: str) -> WebElement:
        return self.browser.driver.find_element(By.ID, name)

    def click(self, name: str) -> None:
        self.element(name).click()

    def text(self, name: str) -> str:
        return self.element(name).text

    def is_shown(self, name: str) -> bool:
        return self.element(name).is_displayed()

    @property
    def state(self) -> str:
        state: str = self.run("return icelane.state")
        return state

    def call(self) -> None:
        """Press Talk, and wait until both sides can talk."""
        self.click("call")
        self.wait_for("session.created")
        self.wait(lambda: self.state == "connected")

    def fail(self) -> str:
        """Press Talk, and wait until the page says why there is no call."""
        self.click("call")
        self.wait(lambda: self.state == "failed")
        return self.text("message")

    def events(self, direction: str) -> list[dict[str, Any]]:
        """What went this way on the data channel."""
        listed: list[dict[str, Any]] = self.run(
            "return icelane.events.filter((e) => e.direction === arguments[0])"
            ".map((e) => JSON.parse(e.text))",
            direction,
        )
        return listed

    def kinds(self, direction: str) -> list[str]:
        return [event["type"] for event in self.events(direction)]

    def wait_for(self, kind: str, count: int = 1) -> None:
        """Wait until so many events of a kind have come."""
        self.wait(lambda: self.kinds("←").count(kind) >= count)

    def lines(self) -> list[str]:
        """What is said in the conversation."""
        rows = self.browser.driver.find_elements(By.CSS_SELECTOR, "#transcript li")
        return [row.text.replace("\n", ": ") for row in rows]

    def command(self, name: str, **parameters: Any) -> Any:
        """A command of Chromium's DevTools protocol."""
        return self.browser.driver.execute_cdp_cmd(name, parameters)

    def resize(self, width: int, height: int = 800) -> None:
        # As a desktop's window: a phone would zoom out where something does not fit.
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.command("Emulation.setDeviceMetricsOverride", **size)

    def prefer(self, **features: str) -> None:
        """Set what the user prefers, such as prefers_color_scheme="dark"."""
        wanted = [
            {"name": name.replace("_", "-"), "value": value} for name, value in features.items()
        ]
        self.command("Emulation.setEmulatedMedia", features=wanted)

    def complaints(self) -> list[str]:
        """What the browser complained of since it was last asked, but for answers that it got.

        A violation of the content security policy is among them.
        """
        return [
            each["message"]
            for each in self.browser.console()
            if "Failed to load resource" not in each["message"]
        ]


@pytest.fixture(scope="session")
def open_browser(speech: Path) -> Callable[..., Any]:
    """Open a page in a browser, until the context ends; nothing may be complained of."""

    @contextmanager
    def opened(*, microphone: str = "allowed") -> Iterator[Page]:
        if not (shutil.which("chromium") and shutil.which("chromedriver")):
            pytest.skip("needs chromium and chromedriver: `make setup-test`")
        with chromium(
            "http://localhost",
            speech,
            microphone=microphone,
            origin="secure",
            further=LOOPBACK_CALLS,
        ) as browser:
            yield Page(browser)

    return opened


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Serve the page and calls until the context ends."""

    @contextmanager
    def serving(*options: str) -> Iterator[Host]:
        started = Host(list(options), tmp_path_factory.mktemp("host") / "log")
        started.start()
        try:
            yield started
        finally:
            started.kill()

    return serving


@pytest.fixture(scope="module")
def browser(open_browser: Callable[..., Any]) -> Iterator[Page]:
    """A browser for the tests of a module."""
    with open_browser() as page:
        yield page


@pytest.fixture
def page(browser: Page) -> Iterator[Page]:
    """That browser; at the end it has complained of nothing, and the call is over."""
    browser.complaints()
    yield browser
    complaints = browser.complaints()
    browser.browser.get("about:blank")  # the page hangs up
    browser.prefer()
    browser.command("Emulation.clearDeviceMetricsOverride")
    assert complaints == []
