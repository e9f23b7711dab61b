"""The body of a request that makes a call: an SDP offer, in one of the three forms clients use.

* ``application/sdp``: the offer itself;
* ``multipart/form-data`` with fields ``sdp`` and, if wanted, ``session`` (JSON);
* ``application/json``: ``{"sdp": ..., "session": {...}}``.
"""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from signaling.errors import ApiError, FormError
from signaling.form import read_form
from signaling.mediatype import require_type
from signaling.session import Setup, check_model, check_session

#: Bytes of an offer. Chromium's audio offer has 3 KB, a browser's largest with video about 20.
MAX_SDP = 64 << 10
#: Bytes of a whole body; a session's instructions and tools come on top of the offer.
MAX_BODY = 256 << 10
#: Seconds that a client may take to send its request's body.
BODY_TIMEOUT = 10.0
#: The largest number of a data channel's stream (RFC 8831, section 6.2: 65535 is none).
MAX_CHANNEL = 65_534
_SHOWN = 60  # characters of a client's text in an error
_SDP, _FORM, _JSON = "application/sdp", "multipart/form-data", "application/json"


async def read_body(request: web.Request) -> bytes:
    """Read the body of a request, which has `BODY_TIMEOUT` for it however it trickles.

    Raises:
        ApiError: It did not arrive in time, or is compressed.
    """
    coding = request.headers.get("Content-Encoding", "identity")
    if coding.lower() != "identity":
        raise ApiError(
            415,
            "unsupported_content_encoding",
            f"Send the body as it is, not compressed as {coding[:_SHOWN]!a}.",
            headers={"Accept-Encoding": "identity"},  # RFC 9110, section 15.5.16
        )
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            return await request.read()
    except TimeoutError:
        raise ApiError(
            408, "request_timeout", f"The body did not arrive within {BODY_TIMEOUT:.0f} s."
        ) from None


async def read_offer(request: web.Request) -> tuple[str, Setup]:
    """Read the SDP offer of a request, and the session and model that come with it.

    Raises:
        ApiError: The body is not an offer; the error says what is wrong with it.
    """
    setup = Setup(model=check_model(request.query.get("model")))
    sent = require_type(request.headers, (_SDP, _FORM, _JSON), "Accept-Post")
    raw = await read_body(request)
    if sent != _SDP:
        raw, asked = (
            _from_json(raw) if sent == _JSON else _from_form(raw, request.headers["Content-Type"])
        )
        setup = _with(setup, asked)
    return check_offer(raw), setup


def _with(setup: Setup, asked: Setup) -> Setup:
    """What a body asks for, and of the URL what that does not say."""
    return Setup(asked.session, asked.model or setup.model)


def negotiated_channel(query: Mapping[str, str]) -> int | None:
    """The stream of the events channel in ``?dcid=N``; None where the client opens it itself.

    A negotiated channel needs no message to be opened (RFC 8832, section 4), which saves clients
    that know of it a round trip.

    Raises:
        ApiError: It is no number of a stream.
    """
    written = query.get("dcid")
    if written is None:
        return None
    valid = written.isascii() and written.isdecimal() and len(written) <= len(str(MAX_CHANNEL))
    if not valid or int(written) > MAX_CHANNEL:
        raise _invalid("invalid_dcid", f"dcid is a number from 0 to {MAX_CHANNEL}.", "dcid")
    return int(written)


def check_offer(raw: bytes) -> str:
    """Check what every offer of a call has; the transceiver parses it in full.

    Raises:
        ApiError: It is no such offer.
    """
    if len(raw) > MAX_SDP:
        raise ApiError(
            413, "offer_too_large", f"An SDP offer may have {MAX_SDP} bytes.", param="sdp"
        )
    if not raw.strip():
        raise _invalid("empty_offer", "The SDP offer is empty.")
    try:
        offer = raw.decode()
    except UnicodeDecodeError:
        raise _invalid("invalid_offer", "The SDP offer is not UTF-8 text.") from None
    lines = offer.splitlines()
    if lines[0] != "v=0" or "\0" in offer:
        raise _invalid("invalid_offer", "This is not SDP: the first line must be v=0 (RFC 8866).")
    if not any(line.startswith("m=") for line in lines):
        raise _invalid("no_media", "The SDP offer has no media: an m= section is needed.")
    return offer


def _from_form(raw: bytes, content_type: str) -> tuple[bytes, Setup]:
    try:
        fields = read_form(raw, content_type)
    except FormError as error:
        raise _invalid("invalid_form", f"This is not a form: {error}.", None) from None
    if "sdp" not in fields:
        raise _invalid("missing_offer", "The form has no field sdp.")
    session = read_json(fields["session"], "session") if "session" in fields else None
    return fields["sdp"], _setup(session, None)


def _from_json(raw: bytes) -> tuple[bytes, Setup]:
    document = read_json(raw, None)
    if not isinstance(document, dict):
        raise _invalid("invalid_json", "The body must be a JSON object.", None)
    offer = document.get("sdp")
    if not isinstance(offer, str):
        raise _invalid("missing_offer", "The field sdp must be a string.")
    setup = _setup(document.get("session"), document.get("model"))
    return offer.encode(errors="replace"), setup


def _setup(session: Any, model: Any) -> Setup:
    checked = check_session(session)
    return Setup(checked, (checked or {}).get("model") or check_model(model))


def read_json(raw: bytes, param: str | None) -> Any:
    """What a text in JSON says.

    Raises:
        ApiError: It is no JSON; `param` is the field that it is in.
    """
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        raise _invalid("invalid_json", "This is not JSON.", param) from None


def too_large() -> ApiError:
    """The error for a body of more than `MAX_BODY` bytes."""
    return ApiError(413, "body_too_large", f"A request may have {MAX_BODY} bytes.")


def _invalid(code: str, message: str, param: str | None = "sdp") -> ApiError:
    return ApiError(400, code, message, param=param)
