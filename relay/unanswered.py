"""Why somebody who was asked over HTTP does not answer as he should, in words. Pure."""

import errno
import os
import socket
import ssl
import sys


def _invalid_url() -> tuple[type[Exception], ...]:
    """What the library raises for a URL that is none; who has asked by it has loaded it."""
    library = sys.modules.get("aiohttp")
    return () if library is None else (library.InvalidURL, library.NonHttpUrlClientError)


def in_words(error: Exception) -> str:  # noqa: PLR0911  # a list of what there may be
    """For an operator: what was wrong and what to do, without what the HTTP library says of it.

    Args:
        error: What the library raised, or reading the answer did.
    """
    if isinstance(error, TimeoutError):
        return "it does not answer"
    if isinstance(error, _invalid_url()):  # a ValueError, too: so nobody was asked
        return "that is no URL: write http://HOST:PORT, or https://HOST where it speaks TLS"
    cause = getattr(error, "os_error", None) or error  # of aiohttp.ClientConnectorError
    match cause:
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted here: {cause.verify_message}"
        case ssl.SSLError():
            return "it speaks no TLS: write http:// in place of https://"
        case socket.gaierror():
            return "its name is not found: correct it, or DNS"
        case OSError(errno=errno.ECONNREFUSED):
            return "nobody listens there: start it, or correct its address"
        case OSError(errno=int(number)):  # asyncio's text names what it has tried
            return f"it cannot be reached: {os.strerror(number)}"
        case ValueError() | KeyError() | TypeError():
            return "what answers there is something else: correct its address"
    if (status := getattr(error, "status", None)) is not None:
        return f"what answers there is something else (it says {status}): correct its address"
    return str(error) or type(error).__name__
