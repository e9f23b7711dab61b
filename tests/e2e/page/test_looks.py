"""How the page looks and reads: widths, colour schemes, contrast, names of what can be used."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.keys import Keys

from tests.e2e.page.conftest import Host, Page

LOOKS = (Path(__file__).parent / "looks.js").read_text("utf-8")
NARROWEST, PHONE, DESK = 320, 360, 1280  # CSS pixels
LEAST_TARGET = 24  # CSS pixels (WCAG 2.2, 2.5.8)
BOTH_SCHEMES = pytest.mark.parametrize("scheme", ["light", "dark"])


@pytest.fixture(scope="module")
def teller(host: Callable[..., Any]) -> Iterator[Host]:
    with host("--backend", "teller") as serving:
        yield serving


def talk(page: Page) -> None:
    """Fill the page with what a call shows."""
    page.call()
    page.element("text").send_keys("What is on today? " + "x" * 80 + Keys.ENTER)
    page.wait_for("output_audio_buffer.started")
    page.run("document.getElementById('events').open = true")
    page.run("document.querySelector('#log li summary').click()")
    page.wait(lambda: page.text("lost-there").isalnum() and page.text("steps").count("ms") == 6)


def shortcomings(page: Page) -> list[str]:
    # Colours fade; the contrast is of what they come to.
    page.run("document.getAnimations().forEach((each) => each.finish())")
    looks = page.run(f"return (\n{LOOKS})")
    assert looks["looked"] > 20
    found: list[str] = looks["found"]
    return found


@BOTH_SCHEMES
@pytest.mark.parametrize("width", [PHONE, DESK])
def test_everything_can_be_read(page: Page, teller: Host, scheme: str, width: int) -> None:
    page.resize(width)
    page.prefer(prefers_color_scheme=scheme)
    page.open(teller.url)
    dark = page.run("return matchMedia('(prefers-color-scheme: dark)').matches")
    assert dark == (scheme == "dark")
    assert shortcomings(page) == []
    page.run("document.getElementById('key-form').hidden = false")
    talk(page)
    assert shortcomings(page) == []


@BOTH_SCHEMES
def test_a_complaint_can_be_read(page: Page, host: Callable[..., Any], scheme: str) -> None:
    page.prefer(prefers_color_scheme=scheme)
    with host() as serving:
        page.open(serving.url)
    page.fail()
    assert page.is_shown("message")
    assert shortcomings(page) == []


@pytest.mark.parametrize("width", [NARROWEST, PHONE, DESK])
def test_nothing_is_wider_than_the_window(page: Page, teller: Host, width: int) -> None:
    page.resize(width)
    page.open(teller.url)
    page.run("document.getElementById('key-form').hidden = false")
    talk(page)
    over = page.run(
        "return [...document.body.querySelectorAll('*')].filter((e) => e.checkVisibility() &&"
        " !e.closest('.unseen, .skip, #log, h2')"
        " && e.getBoundingClientRect().right > innerWidth + 1)"
        ".map((e) => e.id || e.outerHTML.slice(0, 80))"
    )
    assert over == []
    assert page.run("return document.documentElement.scrollWidth <= innerWidth")


def test_the_end_of_the_conversation_stays_in_sight_unless_one_reads_further_up(
    page: Page, teller: Host
) -> None:
    at_end = """const view = document.getElementById("transcript");
        return view.scrollHeight - view.scrollTop - view.clientHeight < 2"""
    page.resize(DESK)
    page.open(teller.url).call()
    for _ in range(4):
        page.element("text").send_keys("x" * 60 + Keys.ENTER)
        page.wait(lambda: page.lines()[-1] == "Other side: It is ten")
        page.wait(lambda: page.run(at_end))
    page.resize(PHONE)  # as a phone that is turned
    page.wait(lambda: page.run(at_end))
    page.run("document.getElementById('transcript').scrollTop = 0")
    page.wait(lambda: not page.run(at_end))
    page.element("text").send_keys("five" + Keys.ENTER)
    page.wait(lambda: "You: five" in page.lines())
    assert page.run("return document.getElementById('transcript').scrollTop") == 0


def test_what_can_be_used_is_large_enough_and_has_a_name(page: Page, teller: Host) -> None:
    page.resize(NARROWEST)
    page.open(teller.url)
    page.run("document.getElementById('key-form').hidden = false")
    talk(page)
    small = page.run(
        "return [...document.querySelectorAll('button, select, input:not([type=radio], "
        "[type=checkbox]), .switch span, .check')].filter((e) => e.checkVisibility())"
        ".filter((e) => Math.min(e.offsetWidth, e.offsetHeight) < arguments[0])"
        ".map((e) => e.id || e.className)",
        LEAST_TARGET,
    )
    assert small == []
    nodes = page.command("Accessibility.getFullAXTree")["nodes"]
    roles = {"button", "textbox", "combobox", "radio", "checkbox", "meter", "log", "group"}
    nameless = [
        node
        for node in nodes
        if not node["ignored"]
        and node["role"]["value"] in roles - {"group"}
        and not node.get("name", {}).get("value")
    ]
    assert nameless == []
    found = {node["role"]["value"] for node in nodes if not node["ignored"]}
    assert {"button", "textbox", "radio", "meter", "log", "status", "main"} <= found


def test_nothing_moves_for_who_wants_it_so(page: Page, teller: Host) -> None:
    glow = "return getComputedStyle(document.getElementById('call')).boxShadow"
    page.open(teller.url)
    page.run("document.getElementById('call').style.setProperty('--heard', 1)")
    moving = page.run(glow)
    page.prefer(prefers_reduced_motion="reduce")
    assert page.run(glow) != moving
    assert (
        page.run("return getComputedStyle(document.getElementById('call')).transitionDuration")
        == "0s"
    )
