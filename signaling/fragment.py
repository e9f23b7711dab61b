"""The body of a PATCH: a fragment of SDP with what is new of a client's ICE (RFC 8840). Pure.

Of it only the credentials count. Candidates are for a server that checks; ours is ICE-lite, and
answers whoever comes with the right password.
"""

import re

from signaling.errors import FragmentError

#: Bytes of a fragment; a candidate has about 120, and clients have some dozens.
MAX_FRAGMENT = 64 << 10

_LINE = re.compile(r"[a-z]=.*")
_SHOWN = 60  # characters of a client's text in an error


def read_fragment(raw: bytes) -> tuple[str, str] | None:
    """The client's ufrag and password; None where it tells of candidates alone.

    Raises:
        FragmentError: It is no fragment, or has the ICE of several transports.
    """
    if len(raw) > MAX_FRAGMENT:
        raise FragmentError(f"it has more than {MAX_FRAGMENT} bytes")
    try:
        lines = [line.strip() for line in raw.decode().splitlines() if line.strip()]
    except UnicodeDecodeError:
        raise FragmentError("it is not UTF-8 text") from None
    strange = next((line for line in lines if not _LINE.fullmatch(line)), None)
    if strange is not None:
        raise FragmentError(f"{strange[:_SHOWN]!a} is no line of SDP, such as a=ice-ufrag:EsAw")
    if not lines:
        raise FragmentError("it is empty")
    ufrag, password = (_only(lines, name) for name in ("ice-ufrag", "ice-pwd"))
    if ufrag is None and password is None:
        return None
    if ufrag is None or password is None:
        raise FragmentError("a=ice-ufrag and a=ice-pwd belong together, and one is missing")
    return ufrag, password


def _only(lines: list[str], name: str) -> str | None:
    start = f"a={name}:"
    values = {line.removeprefix(start).strip() for line in lines if line.startswith(start)}
    if len(values) > 1:
        raise FragmentError(f"it has several a={name}: bundle all media, so that there is one")
    return next(iter(values), None)
