"""The fields of a form in a request's body: multipart/form-data (RFC 7578). Pure.

The body is there as a whole, so that the cost of reading it is bounded by its size: a reader of
streams, such as aiohttp's, takes as many lines and parts as its client likes to send.
"""

from email.errors import MessageError
from email.message import Message
from email.parser import BytesHeaderParser

from signaling.errors import FormError

#: Fields of a form; a call's has two.
MAX_FIELDS = 16
#: Bytes of a field's headers.
MAX_HEAD = 4096


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
    header = Message()
    header["Content-Type"] = content_type
    boundary = header.get_boundary("")
    if not 0 < len(boundary) <= 70 or not boundary.isascii():  # RFC 2046, section 5.1.1
        raise FormError("its Content-Type has no boundary of 1 to 70 characters")
    return boundary.encode()


def _name(head: bytes, number: int) -> str:
    try:
        name = BytesHeaderParser().parsebytes(head).get_param("name", "", "content-disposition")
    except (MessageError, ValueError):
        name = ""
    if not isinstance(name, str) or not name:
        raise FormError(f"field {number + 1} needs a name")
    return name
