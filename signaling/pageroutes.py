"""The page to talk from: a few static files, which load nothing from elsewhere."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from importlib import resources

from aiohttp import ETag, hdrs, web

from signaling.routes import Access, Route

#: Where its files are; the page itself is at ``/``.
FILES = "/page/{name}"
_INDEX = "index.html"
_TYPES = {
    "css": "text/css",
    "html": "text/html",
    "js": "text/javascript",
    "svg": "image/svg+xml",
}
# No code in the page, nothing from elsewhere, and nobody may frame it. Files are asked for again
# each time, by their ETag: a page of one version never runs with modules of another.
_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self'; media-src mediastream:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self)",
}


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    media_type: str
    etag: ETag


class PageRoutes:
    """The page and its files, read once."""

    def __init__(self) -> None:
        self._files = dict(_read_files())

    def routes(self) -> Sequence[Route]:
        """The routes."""
        return [
            Route(hdrs.METH_GET, "/", self._show, Access.ANYBODY),
            Route(hdrs.METH_GET, FILES, self._file, Access.ANYBODY),
        ]

    async def _show(self, request: web.Request) -> web.Response:
        return _answer(request, self._files[_INDEX])

    async def _file(self, request: web.Request) -> web.Response:
        file = self._files.get(request.match_info["name"])
        if file is None:
            raise web.HTTPNotFound
        return _answer(request, file)


def _read_files() -> Iterator[tuple[str, _File]]:
    for path in resources.files("signaling").joinpath("page").iterdir():
        content = path.read_bytes()
        media_type = _TYPES[path.name.rpartition(".")[2]]
        etag = ETag(hashlib.sha256(content).hexdigest()[:32])
        yield path.name, _File(content, media_type, etag)


def _answer(request: web.Request, file: _File) -> web.Response:
    known = request.if_none_match or ()
    if any(each.value in (file.etag.value, "*") for each in known):
        response = web.Response(status=HTTPStatus.NOT_MODIFIED, headers=_HEADERS)
    else:
        response = web.Response(
            body=file.content,
            content_type=file.media_type,
            charset=None if file.media_type.startswith("image/") else "utf-8",
            headers=_HEADERS,
        )
    response.etag = file.etag
    return response
