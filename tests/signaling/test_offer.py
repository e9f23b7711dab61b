"""Reading the offer of a request; what of a bad one gets into the answer is in test_server.py."""

import gzip
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from relay.listen import serve_http
from relay.wire.endpoint import Endpoint
from signaling.errors import ApiError
from signaling.offer import MAX_BODY, MAX_SDP, check_offer, negotiated_channel, read_offer
from signaling.session import NO_SETUP, Setup

OFFER = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n"

Read = Callable[..., Any]


@pytest.fixture
async def read(http: aiohttp.ClientSession) -> AsyncIterator[Read]:
    """Posts a body; returns what `read_offer` returned or raised."""
    results: list[tuple[str, Setup] | ApiError] = []

    async def handler(request: web.Request) -> web.Response:
        try:
            results.append(await read_offer(request))
        except ApiError as error:
            results.append(error)
        return web.Response()

    application = web.Application(client_max_size=MAX_BODY)
    application.router.add_post("/", handler)
    async with serve_http(application, Endpoint("127.0.0.1", 0), "a test") as address:

        async def post(query: str = "", **request: Any) -> tuple[str, Setup] | ApiError:
            async with http.post(f"http://{address}/{query}", **request):
                return results.pop()

        yield post


def multipart(**fields: str) -> aiohttp.FormData:
    form = aiohttp.FormData(default_to_multipart=True)
    for name, value in fields.items():
        form.add_field(name, value)
    return form


async def test_an_offer_comes_alone_in_a_form_or_in_json(read: Read) -> None:
    plain = {"Content-Type": "application/sdp; charset=utf-8"}
    alone, with_session = (OFFER, NO_SETUP), (OFFER, Setup({"type": "realtime"}))
    assert await read(data=OFFER.encode(), headers=plain) == alone
    assert await read(data=multipart(sdp=OFFER)) == alone
    assert await read(data=multipart(session='{"type": "realtime"}', sdp=OFFER)) == with_session
    assert await read(json={"sdp": OFFER}) == alone
    assert await read(json={"sdp": OFFER, "session": None, "model": None}) == alone
    assert await read(json={"sdp": OFFER, "session": {"type": "realtime"}}) == with_session


async def test_the_sessions_model_counts_before_that_of_the_body_and_of_the_url(
    read: Read,
) -> None:
    plain, session = {"Content-Type": "application/sdp"}, {"model": "s"}
    assert await read("?model=u", data=OFFER, headers=plain) == (OFFER, Setup(model="u"))
    assert await read("?model=u", json={"sdp": OFFER, "model": "b"}) == (OFFER, Setup(model="b"))
    told = await read("?model=u", json={"sdp": OFFER, "session": session, "model": "b"})
    assert told == (OFFER, Setup(session, "s"))
    told = await read("?model=u", data=multipart(sdp=OFFER, session='{"model": "s"}'))
    assert told == (OFFER, Setup(session, "s"))
    told = await read("?model=u", data=multipart(sdp=OFFER, session="{}"))
    assert told == (OFFER, Setup({}, "u"))
    for bad in ({"json": {"sdp": OFFER, "model": 5}}, {"query": "?model=", "data": OFFER}):
        refused = await read(**bad)
        assert isinstance(refused, ApiError)
        assert (refused.code, refused.param) == ("invalid_value", "model")


async def test_a_form_may_have_fields_that_are_not_used(read: Read) -> None:
    assert await read(data=multipart(other="x", sdp=OFFER)) == (OFFER, NO_SETUP)


async def test_another_media_type_is_told_which_are_taken(read: Read) -> None:
    error = await read(data=OFFER.encode(), headers={"Content-Type": "text/plain"})
    assert isinstance(error, ApiError)
    assert error.status == 415
    assert error.headers["Accept-Post"].startswith("application/sdp, ")
    assert "not as text/plain" in error.message


async def test_a_compressed_body_is_refused_in_words(read: Read) -> None:
    plain = {"Content-Type": "application/sdp"}
    packed = gzip.compress(OFFER.encode())
    error = await read(data=packed, headers={**plain, "Content-Encoding": "gzip"})
    assert isinstance(error, ApiError)
    assert (error.status, error.code) == (415, "unsupported_content_encoding")
    assert error.headers["Accept-Encoding"] == "identity"
    headers = {**plain, "Content-Encoding": "Identity"}
    assert await read(data=OFFER.encode(), headers=headers) == (OFFER, NO_SETUP)


async def test_a_part_without_a_name_is_refused(read: Read) -> None:
    body = b"--x\r\nContent-Disposition: form-data\r\n\r\nv=0\r\n--x--\r\n"
    error = await read(data=body, headers={"Content-Type": "multipart/form-data; boundary=x"})
    assert isinstance(error, ApiError)
    assert error.code == "invalid_form"
    assert error.message == "This is not a form: field 1 needs a name."


def test_the_largest_offer_is_taken_and_one_more_byte_is_not() -> None:
    largest = OFFER + "a" * (MAX_SDP - len(OFFER))
    assert check_offer(largest.encode()) == largest
    with pytest.raises(ApiError) as caught:
        check_offer(largest.encode() + b"a")
    assert (caught.value.status, caught.value.code) == (413, "offer_too_large")


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "empty_offer"),
        (b" \r\n", "empty_offer"),
        (b"\xff\xfe", "invalid_offer"),
        (b"v=1\r\nm=audio 9\r\n", "invalid_offer"),
        (OFFER.encode() + b"\0", "invalid_offer"),
        (b"v=0\r\na=m=audio 9\r\n", "no_media"),
    ],
)
def test_what_is_no_offer_with_audio_is_named(raw: bytes, code: str) -> None:
    with pytest.raises(ApiError) as caught:
        check_offer(raw)
    assert (caught.value.status, caught.value.code, caught.value.param) == (400, code, "sdp")


@pytest.mark.parametrize(
    ("written", "number"), [({}, None), ({"dcid": "0"}, 0), ({"dcid": "65534"}, 65534)]
)
def test_the_stream_of_a_negotiated_channel(written: dict[str, str], number: int | None) -> None:
    assert negotiated_channel(written) == number


@pytest.mark.parametrize("written", ["", "-1", "65535", "4.0", "\u0664", "1" * 5_000, "four"])
def test_what_is_no_stream(written: str) -> None:
    with pytest.raises(ApiError, match="dcid is a number from 0 to 65534") as refused:
        negotiated_channel({"dcid": written})
    assert refused.value.status == 400
