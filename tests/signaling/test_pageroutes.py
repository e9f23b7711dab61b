import re
from html.parser import HTMLParser
from importlib import resources
from typing import Any

import aiohttp
import pytest

from signaling.callid import CALLS
from signaling.server import SignalingServer

FILES = resources.files("signaling").joinpath("page")
NAMES = sorted(path.name for path in FILES.iterdir())
PATHS = {name: "/" if name == "index.html" else f"/page/{name}" for name in NAMES}
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


class References(HTMLParser):
    """Collects what a page makes the browser load, and what a strict policy forbids."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.inline: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        named = [given[name] or "" for name in ("src", "href") if name in given]
        self.loaded += [each for each in named if not each.startswith("#")]
        self.inline += [name for name in given if name == "style" or name.startswith("on")]
        if tag == "style" or (tag == "script" and "src" not in given):
            self.inline.append(tag)


@pytest.fixture
async def url(serve: Any) -> Any:
    async with serve() as server:
        assert isinstance(server, SignalingServer)
        yield server.url


@pytest.mark.parametrize("name", NAMES)
async def test_each_file_is_served_as_what_it_is(
    http: aiohttp.ClientSession, url: str, name: str
) -> None:
    async with http.get(url + PATHS[name]) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == TYPES[name[name.rindex(".") :]]
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert await response.read() == FILES.joinpath(name).read_bytes()


@pytest.mark.parametrize("name", NAMES)
async def test_a_file_that_is_known_is_not_sent_again(
    http: aiohttp.ClientSession, url: str, name: str
) -> None:
    async with http.get(url + PATHS[name]) as response:
        etag = response.headers["ETag"]
        assert response.headers["Cache-Control"] == "no-cache"  # to be kept, and asked about
    for known, status in (
        (etag, 304),
        (f'"other", W/{etag}', 304),
        ("*", 304),
        ('"other"', 200),
        ("nonsense", 200),
    ):
        async with http.get(url + PATHS[name], headers={"If-None-Match": known}) as response:
            assert (known, response.status) == (known, status)
            assert response.headers["ETag"] == etag
            assert bool(await response.read()) == (status == 200)


@pytest.mark.parametrize("path", ["/page/", "/page/server.py", "/page/..%2Fserver.py"])
async def test_nothing_else_is_served(http: aiohttp.ClientSession, url: str, path: str) -> None:
    async with http.get(url + path) as response:
        assert response.status == 404


async def test_the_policy_lets_nothing_in(http: aiohttp.ClientSession, url: str) -> None:
    async with http.get(url) as response:
        policy = response.headers["Content-Security-Policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules.pop("media-src") == "mediastream:"  # sound of a call; nothing is loaded
    own = {"script-src", "style-src", "connect-src", "img-src"}
    assert {name for name, source in rules.items() if source == "'self'"} == own
    assert {name for name, source in rules.items() if source == "'none'"} == rules.keys() - own
    assert {"default-src", "base-uri", "form-action", "frame-ancestors"} <= rules.keys()


async def test_the_page_loads_its_own_files_and_has_no_code_in_it() -> None:
    references = References()
    references.feed(FILES.joinpath("index.html").read_text("utf-8"))
    assert references.inline == []
    loaded = set(references.loaded)
    for name in NAMES:
        if name.endswith(".js"):
            module = FILES.joinpath(name).read_text("utf-8")
            loaded |= {f"/page/{each}" for each in re.findall(r'from "\./(.+?)"', module)}
    assert loaded == set(PATHS.values()) - {"/"}  # and there is none that nobody uses


@pytest.mark.parametrize("name", NAMES)
def test_no_file_names_another_host(name: str) -> None:
    text = FILES.joinpath(name).read_text("utf-8")
    named = set(re.findall(r"https?://[\w.]+", text))
    assert named <= {"http://localhost", "http://www.w3.org"}  # words of help; an XML namespace
    assert "innerHTML" not in text  # what a server says is text


def test_the_page_calls_the_route_there_is() -> None:
    assert f'"{CALLS}"' in FILES.joinpath("server.js").read_text("utf-8")
