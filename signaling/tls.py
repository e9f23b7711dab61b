"""The certificate of an HTTPS server, read again when its files change."""

import ssl
from dataclasses import dataclass
from pathlib import Path

from relay.config.watched import Watched
from relay.errors import ConfigError
from relay.files import unreadable


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where a certificate is; both may be one file.

    Attributes:
        certificate: The certificate, and after it those between it and the root (PEM).
        key: Its private key (PEM), without a password.
    """

    certificate: Path
    key: Path


class Certificate:
    """The certificate that connections from now on are served with.

    Args:
        files: Where it is.

    Attributes:
        context: For the server; what is read later takes effect in it.
        files: The files, to be looked at.

    Raises:
        ConfigError: The files cannot be used.
    """

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self.context = _context()
        self.files = Watched([files.certificate, files.key], self._load, "the certificate")

    def _load(self) -> None:
        load(_context(), self._files)  # a pair that does not match would leave half of it in place
        load(self.context, self._files)


def load(context: ssl.SSLContext, files: TlsFiles) -> None:
    """Put a certificate into a context.

    Raises:
        ConfigError: It cannot be used.
    """
    for path in (files.certificate, files.key):
        try:
            path.read_bytes()
        except OSError as error:
            raise ConfigError(f"cannot read {path}: {unreadable(error)}") from None
    try:
        context.load_cert_chain(files.certificate, files.key, password="")  # asks nobody
    except (ssl.SSLError, OSError) as error:
        reason = getattr(error, "reason", None) or error
        raise ConfigError(
            f"{files.certificate} and {files.key} are no certificate and its key ({reason}): both "
            "must be PEM, and the key without a password"
        ) from None


def _context() -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["http/1.1"])
    return context
