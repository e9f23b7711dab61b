"""What a request came to, as it is told."""

import asyncio

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from signaling.errors import ApiError
from signaling.outcome import tell_outcome

TOLD = list[tuple[int, str | None]]


async def told_of(outcome: web.Response | BaseException) -> TOLD:
    """What is told of a handler that answers so; what it raises is raised."""
    told: TOLD = []

    async def handler(_: web.Request) -> web.StreamResponse:
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    async def answer() -> web.StreamResponse:
        return await tell_outcome(
            make_mocked_request("GET", "/"), handler, lambda *each: told.append(each)
        )

    if isinstance(outcome, BaseException):
        with pytest.raises(type(outcome)) as raised:
            await answer()
        assert raised.value is outcome
    else:
        assert await answer() is outcome
    return told


@pytest.mark.parametrize(
    ("outcome", "status", "code"),
    [
        (web.Response(status=201), 201, None),
        (web.HTTPNotFound(), 404, "not_found"),
        (web.HTTPFound("/elsewhere"), 302, None),
        (asyncio.CancelledError(), 499, None),
        (ValueError("a bug"), 500, None),
    ],
    ids=["answer", "no route", "redirection", "gone", "bug"],
)
async def test_status_and_code_are_told_once(
    outcome: web.Response | BaseException, status: int, code: str | None
) -> None:
    assert await told_of(outcome) == [(status, code)]


async def test_an_error_of_ours_has_its_own_code() -> None:
    error = ApiError(503, "no_transceiver", "none has room")
    assert await told_of(error) == [(503, "no_transceiver")]
