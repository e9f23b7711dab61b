"""A headless Chromium, driven by Selenium."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

QUIET = [
    "--headless=new",
    "--no-sandbox",  # tests run as root, for which Chromium has no sandbox
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
]


class Chromium:
    """See `tests.e2e.browser.Browser`.

    Attributes:
        driver: What drives it.
    """

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def get(self, url: str) -> None:
        self.driver.get(url)

    def click(self, element: str) -> None:
        self.driver.find_element(By.ID, element).click()

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def run_async(self, script: str) -> Any:
        return self.driver.execute_async_script(script)

    def console(self) -> list[dict[str, Any]]:
        log: list[dict[str, Any]] = self.driver.get_log("browser")  # type: ignore[no-untyped-call]  # selenium
        return log


@contextmanager
def chromium(
    url: str, wav: Path, *, microphone: str, origin: str, further: Sequence[str] = ()
) -> Iterator[Chromium]:
    """A browser with its own profile, whose microphone plays a file.

    Args:
        url: The page that is to be opened.
        wav: What is spoken.
        microphone: ``allowed``, ``refused`` by its user, or ``missing``.
        origin: ``secure`` where the page's origin counts as such, or ``insecure``.
        further: Flags of the browser besides.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium") or "chromium"
        flags = [
            *QUIET,
            *further,
            f"--user-data-dir={profile}",
        ]
        if microphone != "missing":
            flags.append("--use-fake-device-for-media-stream")
            flags.append(f"--use-file-for-fake-audio-capture={wav}")
        if microphone != "refused":
            flags.append("--use-fake-ui-for-media-stream")
        if microphone == "refused":
            flags.append("--deny-permission-prompts")
        if origin == "secure":
            flags.append(f"--unsafely-treat-insecure-origin-as-secure={url}")
        for flag in flags:
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
        try:
            yield Chromium(driver)
        finally:
            driver.quit()
