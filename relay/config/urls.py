"""URLs in settings: what may be shown of them, and those that need more than a look. Pure."""

from urllib.parse import urlsplit


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


def without_secrets(url: str) -> str:
    """A URL as it may be shown: without user, password and query, in which one may be, too."""
    credentials, at, rest = url.partition("?")[0].rpartition("@")
    scheme, slashes, _ = credentials.partition("://")
    return f"{scheme if slashes else ''}{slashes}...@{rest}" if at else rest
