"""URLs in settings: what may be shown of them, and those that need more than a look. Pure."""

from urllib.parse import urlsplit

from relay.redisurl import parse


def check_collector(url: str) -> str:
    """Check the URL of a collector of OpenTelemetry; it is given back as it is.

    Raises:
        ValueError: It is none that spans can be sent to.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets or a port that are none
        usable = False
    if not usable:
        raise ValueError(
            f"{without_secrets(url)!r} is no URL of a collector: write http://HOST:4318"
        )
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError(
            f"{without_secrets(url)!r} has more than host, port and path: what a collector wants "
            "to know of you goes into OTEL_EXPORTER_OTLP_HEADERS"
        )
    return url


def check_redis(url: str) -> str:
    """Check a URL of Redis, all of it; it is given back as it is.

    Raises:
        ValueError: No client can be made of it.
    """
    try:
        parse(url)
    except ValueError as error:
        raise ValueError(f"{without_secrets(url)!r} {error}") from None
    return url


def without_secrets(url: str) -> str:
    """A URL as it may be shown: without user, password and query, in which one may be, too."""
    scheme, slashes, rest = url.partition("://")
    if not slashes:
        scheme, rest = "", url
    place, _, query = rest.partition("?")
    if "@" in query:  # as where a password has a question mark
        return f"{scheme}{slashes}..."
    _, at, shown = place.rpartition("@")
    return f"{scheme}{slashes}{'...@' if at else ''}{shown}"
