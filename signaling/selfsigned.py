"""A certificate of one's own, for who has none: browsers warn of it once, and then take it.

It is kept in a file, so that what has once accepted it, such as a phone, need not do so again. A
new one is made only when the host's addresses are no longer in it, or when it is about to end.
"""

import socket
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from relay.config.privatefiles import write_private
from relay.errors import ConfigError
from relay.files import unwritable

#: Browsers take certificates of at most 398 days (CA/Browser Forum, Baseline Requirements 6.3.2).
LIFE = timedelta(days=397)
#: So long before its end another one is made.
MARGIN = timedelta(days=30)
#: Clocks of clients may be late.
_SKEW = timedelta(days=1)


def state_directory(environment: Mapping[str, str]) -> Path:
    """Where this user's programs keep what outlives them (XDG Base Directory Specification)."""
    kept = environment.get("STATE_DIRECTORY") or environment.get("XDG_STATE_HOME")
    return Path(kept or Path.home() / ".local" / "state") / "icelane"


def own_addresses() -> list[str]:
    """The addresses from which this host reaches others; nothing is sent to find out."""
    found = []
    for family, elsewhere in (
        (socket.AF_INET, ("192.0.2.1", 9)),
        (socket.AF_INET6, ("2001:db8::1", 9)),
    ):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect(elsewhere)
                found.append(str(probe.getsockname()[0]))
        except OSError:
            continue  # it has no such route
    return found


def keep_certificate(path: Path, hosts: Sequence[str], now: datetime) -> None:
    """Have a certificate and its key in a file, for these hosts at least.

    Args:
        path: The file, which only its owner can read.
        hosts: Addresses and names.
        now: The time, with its zone.

    Raises:
        ConfigError: It cannot be written.
    """
    if _is_good(path, hosts, now):
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(path, make_certificate(hosts, now))
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {unwritable(error)}") from None


def make_certificate(hosts: Sequence[str], now: datetime) -> bytes:
    """A private key, and a certificate of it that it has signed itself (PEM).

    Args:
        hosts: The addresses and names that it is for.
        now: The time, with its zone.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Icelane on this host")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now - _SKEW + LIFE)
        .add_extension(x509.SubjectAlternativeName(list(map(_general_name, hosts))), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _is_good(path: Path, hosts: Sequence[str], now: datetime) -> bool:
    """Whether a file has a certificate for all these hosts, which does not end soon."""
    try:
        content = path.read_bytes()
        certificate = x509.load_pem_x509_certificate(content)
        serialization.load_pem_private_key(content, None)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, TypeError, x509.ExtensionNotFound):
        return False
    return (
        set(map(_general_name, hosts)) <= set(names)
        and certificate.not_valid_after_utc - MARGIN > now.astimezone(UTC)
        and not path.stat().st_mode & 0o077
    )
