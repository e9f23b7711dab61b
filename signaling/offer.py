"""The body of a request that makes a call: an SDP offer, in one of the three forms clients use.

* ``application/sdp``: the offer itself;
* ``multipart/form-data`` with fields ``sdp`` and, if wanted, ``session`` (JSON);
* ``application/json``: ``{"sdp": ..., "session": {...}}``.
"""

import json
from typing import Any

from aiohttp import BodyPartReader, web

from signaling.errors import ApiError

#: Bytes of an offer. Chromium's audio offer has 3 KB, a browser's largest with video about 20.
MAX_SDP = 64 << 10
#: Bytes of a whole body; a session's instructions and tools come on top of the offer.
MAX_BODY = 256 << 10
ACCEPTED_TYPES = "application/sdp, multipart/form-data, application/json"


async def read_offer(request: web.Request) -> str:
    """Read the SDP offer of a request.

    Raises:
        ApiError: The body is not an offer; the error says what is wrong with it.
    """
    match request.content_type:
        case "application/sdp":
            raw = await request.read()
        case "multipart/form-data":
            raw = await _from_form(request)
        case "application/json":
            raw = _from_json(await request.read())
        case other:
            raise ApiError(
                415,
                "unsupported_media_type",
                f"Send the offer as one of {ACCEPTED_TYPES}, not as {other}.",
                headers={"Accept-Post": ACCEPTED_TYPES},
            )
    return check_offer(raw)


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
    if not any(line.startswith("m=audio ") for line in lines):
        raise _invalid("no_audio", "The SDP offer has no audio: an m=audio section is needed.")
    return offer


async def _from_form(request: web.Request) -> bytes:
    fields: dict[str, bytes] = {}
    remaining = MAX_BODY
    try:
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader) or part.name is None:
                raise _invalid("invalid_form", "Each part of the form needs a name.", None)
            value = bytearray()
            while chunk := await part.read_chunk():
                remaining -= len(chunk)
                if remaining < 0:
                    raise too_large()
                value += chunk
            fields[part.name] = bytes(value)
    except ValueError as error:
        raise _invalid("invalid_form", f"The multipart body is malformed: {error}", None) from None
    if "sdp" not in fields:
        raise _invalid("missing_offer", "The form has no field sdp.")
    if "session" in fields:
        _check_session(_json(fields["session"], "session"))
    return fields["sdp"]


def _from_json(raw: bytes) -> bytes:
    document = _json(raw, None)
    if not isinstance(document, dict):
        raise _invalid("invalid_json", "The body must be a JSON object.", None)
    offer = document.get("sdp")
    if not isinstance(offer, str):
        raise _invalid("missing_offer", "The field sdp must be a string.")
    if "session" in document:
        _check_session(document["session"])
    return offer.encode(errors="replace")


def _json(raw: bytes, param: str | None) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        raise _invalid("invalid_json", "This is not JSON.", param) from None


def _check_session(session: Any) -> None:
    if not isinstance(session, dict):
        raise _invalid("invalid_session", "The session must be a JSON object.", "session")


def too_large() -> ApiError:
    """The error for a body of more than `MAX_BODY` bytes."""
    return ApiError(413, "body_too_large", f"A request may have {MAX_BODY} bytes.")


def _invalid(code: str, message: str, param: str | None = "sdp") -> ApiError:
    return ApiError(400, code, message, param=param)
