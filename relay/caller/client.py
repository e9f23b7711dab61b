"""The HTTP client of the call routes: offer, answer, hang-up."""

import json
import os
from http import HTTPStatus
from typing import Any

import aiohttp
from yarl import URL

from relay.caller.errors import CallError, Failure

_TIMEOUT = aiohttp.ClientTimeout(total=10, connect=5)  # seconds


class SignalingClient:
    """Places one call and hangs it up.

    Args:
        http: The client session to use; its owner closes it.
        url: The route that creates calls.
    """

    def __init__(self, http: aiohttp.ClientSession, url: URL) -> None:
        self._http = http
        self._url = url
        self._location: URL | None = None

    @property
    def call_id(self) -> str | None:
        """The id of the call at the server; None before it was placed."""
        return self._location.name if self._location else None

    async def offer(self, sdp: str) -> str:
        """Place the call and return the SDP answer.

        Raises:
            CallError: The server cannot be reached, or refuses the call.
        """
        try:
            async with self._http.post(
                self._url,
                data=sdp.encode(),
                headers={"Content-Type": "application/sdp"},
                timeout=_TIMEOUT,
            ) as response:
                body = await response.text(errors="replace")
                if response.status != 201:
                    raise CallError(
                        Failure.SIGNALING_REFUSED,
                        f"{self._url} answered {response.status}: {_reason(body, response)}",
                    )
                if location := response.headers.get("Location"):
                    self._location = response.url.join(URL(location))
                return body
        except TimeoutError:
            raise _unreachable(self._url, "no answer in time") from None
        except aiohttp.ClientConnectorCertificateError as error:
            raise _unreachable(self._url, _certificate_reason(error.certificate_error)) from None
        except aiohttp.ClientConnectorSSLError:
            raise _unreachable(self._url, "what answers there speaks no TLS: try http://") from None
        except aiohttp.ClientConnectorError as error:
            raise _unreachable(self._url, _system_reason(error.os_error)) from None
        except (aiohttp.ClientError, ValueError) as error:
            raise _unreachable(self._url, str(error)) from None

    async def hang_up(self) -> dict[str, Any] | None:
        """End the call and return its session statistics; None if the server sends none.

        DELETE is Icelane's own, and answers with them. Whoever does not have it knows hangup.
        """
        if self._location is None:
            return None
        try:
            async with self._http.delete(self._location, timeout=_TIMEOUT) as response:
                if response.status == HTTPStatus.OK:
                    return await _object(response)
            async with self._http.post(self._location / "hangup", timeout=_TIMEOUT) as response:
                return await _object(response) if response.status == HTTPStatus.OK else None
        except (TimeoutError, aiohttp.ClientError, ValueError):
            return None


async def _object(response: aiohttp.ClientResponse) -> dict[str, Any] | None:
    value = await response.json()
    return value if isinstance(value, dict) else None


def _unreachable(url: URL, reason: str) -> CallError:
    return CallError(Failure.SIGNALING_UNREACHABLE, f"cannot reach {url}: {reason}")


def _certificate_reason(error: Exception) -> str:
    why = getattr(error, "verify_message", "") or str(error)
    return (
        f"its certificate is not trusted here ({why.rstrip('.')}): name a file of those that "
        "are in SSL_CERT_FILE, such as the one that --tls-self-signed has made"
    )


def _system_reason(error: OSError) -> str:
    """The system's error text, without what asyncio adds to it for a failed connect."""
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or str(error)  # a failed look-up of a name has negative numbers


def _reason(body: str, response: aiohttp.ClientResponse) -> str:
    """The message of an error response, or else the reason phrase of the status."""
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return response.reason or "no reason given"
