"""Presses the button of the page in a headless Chromium and prints what came of it, as JSON.

It is a program of its own because it runs in the network namespace of a lab's client.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

WAIT = 30.0  # seconds; a limit
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
LOOK = """return {state: icelane.state, error: icelane.error, setup: icelane.setup,
    statistics: icelane.statistics, events: icelane.events, location: icelane.location,
    shown: document.body.innerText}"""
# The raw statistics, so that the page's own reading of them is not what is tested.
RAW = """const done = arguments[0];
    icelane.pc.getStats().then((report) => done([...report.values()]))"""
QUESTION = '{"type": "session.update", "event_id": "evt_test", "session": {"type": "realtime"}}'


def options(arguments: argparse.Namespace, profile: str) -> webdriver.ChromeOptions:
    chosen = webdriver.ChromeOptions()
    chosen.binary_location = arguments.chromium
    flags = [*QUIET, f"--user-data-dir={profile}", "--use-fake-device-for-media-stream"]
    flags.append(f"--use-file-for-fake-audio-capture={arguments.wav}")
    if arguments.microphone == "allowed":
        flags.append("--use-fake-ui-for-media-stream")
    if arguments.microphone == "refused":
        flags.append("--deny-permission-prompts")
    if arguments.origin == "secure":
        flags.append(f"--unsafely-treat-insecure-origin-as-secure={arguments.url}")
    for flag in flags:
        chosen.add_argument(flag)
    chosen.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return chosen


def press(driver: webdriver.Chrome) -> None:
    driver.find_element(By.ID, "call").click()


def look(driver: webdriver.Chrome) -> dict[str, Any]:
    seen: dict[str, Any] = driver.execute_script(LOOK)
    return seen


def has_heard(page: dict[str, Any]) -> bool:
    return page["error"] is not None or page["statistics"].get("received", 0) > 100


def talk(driver: webdriver.Chrome) -> dict[str, Any]:
    """Call until some audio has come back, ask something on the data channel, hang up."""
    wait = WebDriverWait(driver, WAIT, poll_frequency=0.1)
    press(driver)
    wait.until(
        lambda _: (now := look(driver))["error"] or now["statistics"].get("received", 0) > 100
    )
    if look(driver)["error"]:
        return {"called": look(driver)}
    driver.execute_script("icelane.channel.send(arguments[0])", QUESTION)
    wait.until(lambda _: any("session.updated" in each["text"] for each in look(driver)["events"]))
    called, raw = look(driver), driver.execute_async_script(RAW)
    press(driver)
    wait.until(lambda _: driver.execute_script("return icelane.pc.connectionState") == "closed")
    return {"called": called, "raw": raw, "ended": look(driver)}


def be_refused(driver: webdriver.Chrome) -> dict[str, Any]:
    press(driver)
    WebDriverWait(driver, WAIT).until(lambda _: look(driver)["error"])
    return {"called": look(driver)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--chromium", required=True)
    parser.add_argument("--chromedriver", required=True)
    parser.add_argument("--wav", required=True, type=Path)
    parser.add_argument("--microphone", choices=["allowed", "refused"], default="allowed")
    parser.add_argument("--origin", choices=["secure", "insecure"], default="secure")
    arguments = parser.parse_args()
    good = (arguments.microphone, arguments.origin) == ("allowed", "secure")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        driver = webdriver.Chrome(
            options=options(arguments, profile), service=Service(arguments.chromedriver)
        )
        try:
            driver.get(arguments.url)
            seen = talk(driver) if good else be_refused(driver)
            seen["console"] = driver.get_log("browser")  # type: ignore[no-untyped-call]  # selenium
        finally:
            driver.quit()
    json.dump(seen, sys.stdout)


if __name__ == "__main__":
    main()
