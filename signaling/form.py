"""The fields of a form in a request's body: multipart/form-data (RFC 7578). Pure.

The body is there as a whole, so that the cost of reading it is bounded by its size: a reader of
streams, such as aiohttp's, takes as many lines and parts as its client likes to send.
"""

import re

from signaling.errors import FormError
from signaling.mediatype import read_described

#: Fields of a form; a call's has two.
MAX_FIELDS = 16
#: Bytes of a field's headers.
MAX_HEAD = 4096
_FOLD = re.compile(r"\r\n[ \t]+")  # RFC 5322, section 2.2.3


def read_form(body: bytes, content_type: str) -> dict[str, bytes]:
    """The fields of a form by name; of two by one name, the last one.

    Args:
        body: The body.
        content_type: The request's Content-Type, in which the boundary is.

    Raises:
        FormError: It is no form.
    """
    delimiter = b"\r\n--" + _boundary(content_type)
    _, *parts = (b"\r\n" + body).split(delimiter, MAX_FIELDS + 2)
    fields: dict[str, bytes] = {}
    for number, part in enumerate(parts):
        if part.startswith(b"--"):
            return fields
        if number == MAX_FIELDS:
            raise FormError(f"it has more than {MAX_FIELDS} fields")
        padding, _, rest = part.partition(b"\r\n")
        head, end, value = rest.partition(b"\r\n\r\n")
        if padding.strip(b" \t") or not end or len(head) > MAX_HEAD:
            raise FormError(f"field {number + 1} has no head, or one over {MAX_HEAD} bytes")
        fields[_name(head, number)] = value
    raise FormError("it ends before its last boundary")


def _boundary(content_type: str) -> bytes:
    described = read_described(content_type)
    boundary = described.parameters.get("boundary", "") if described is not None else ""
    if not 0 < len(boundary) <= 70 or not boundary.isascii():  # RFC 2046, section 5.1.1
        raise FormError("its Content-Type has no boundary of 1 to 70 characters")
    return boundary.encode()


def _name(head: bytes, number: int) -> str:
    described = read_described(_disposition(head.decode("utf-8", "replace")))
    name = described.parameters.get("name", "") if described is not None else ""
    if not name:
        raise FormError(f"field {number + 1} needs a name")
    return name


def _disposition(head: str) -> str:
    """The Content-Disposition among a field's headers, of which each may be folded."""
    for line in _FOLD.sub(" ", head).split("\r\n"):
        name, _, value = line.partition(":")
        if name.strip().lower() == "content-disposition":
            return value
    return ""
