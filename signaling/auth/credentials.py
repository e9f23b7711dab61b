"""Where a request has its key. Pure."""

from collections.abc import Iterable, Mapping

#: What browsers write before a key among the subprotocols of a WebSocket, whose headers they
#: cannot set. Of the subprotocols only `REALTIME` is ever accepted.
KEY_PROTOCOL = "openai-insecure-api-key."
REALTIME = "realtime"


def credential(headers: Mapping[str, str]) -> str | None:
    """The key of a request: ``Authorization: Bearer KEY``, or ``api-key: KEY`` as Azure has it.

    Args:
        headers: Its headers, by names in any case.

    Returns:
        The key, or None where there is none.
    """
    scheme, _, key = headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and key.strip():
        return key.strip()
    return headers.get("api-key", "").strip() or None


def websocket_credential(
    headers: Mapping[str, str], protocols: Iterable[str], query: Mapping[str, str]
) -> str | None:
    """The key of a WebSocket's handshake: as of any request, or else where browsers can put it.

    Args:
        headers: Its headers, by names in any case.
        protocols: The values of its headers Sec-WebSocket-Protocol.
        query: Its query: ``?api_key=KEY``. No other request has a key there: URLs are logged.

    Returns:
        The key, or None where there is none.
    """
    if key := credential(headers):
        return key
    for each in (text.strip() for value in protocols for text in value.split(",")):
        if each.startswith(KEY_PROTOCOL) and each != KEY_PROTOCOL:
            return each.removeprefix(KEY_PROTOCOL)
    return query.get("api_key") or None
