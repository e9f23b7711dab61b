import stat
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509

from relay.errors import ConfigError
from signaling.selfsigned import (
    LIFE,
    MARGIN,
    keep_certificate,
    make_certificate,
    own_addresses,
    state_directory,
)

NOW = datetime(2026, 11, 27, tzinfo=UTC)
HOSTS = ["localhost", "127.0.0.1", "::1", "192.0.2.7"]


def test_a_certificate_names_the_hosts_and_is_no_authority() -> None:
    made = x509.load_pem_x509_certificate(make_certificate(HOSTS, NOW))
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == HOSTS[1:]
    assert not made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert made.not_valid_after_utc - made.not_valid_before_utc <= timedelta(days=398)
    assert made.not_valid_before_utc < NOW < made.not_valid_after_utc


def test_it_is_kept_while_it_is_good(tmp_path: Path) -> None:
    path = tmp_path / "state" / "own.pem"
    keep_certificate(path, HOSTS, NOW)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_bytes()
    keep_certificate(path, HOSTS, NOW + timedelta(days=300))
    keep_certificate(path, HOSTS[:2], NOW)
    assert path.read_bytes() == before


@pytest.mark.parametrize("why", ["another address", "its end", "no PEM", "others read it"])
def test_another_one_is_made_when_it_is_not(tmp_path: Path, why: str) -> None:
    path, hosts, now = tmp_path / "own.pem", HOSTS, NOW
    keep_certificate(path, hosts, now)
    before = path.read_bytes()
    match why:
        case "another address":
            hosts = [*HOSTS, "198.51.100.9"]
        case "its end":
            now = NOW + LIFE - MARGIN
        case "no PEM":
            path.write_bytes(b"junk")
        case _:
            path.chmod(0o644)
    keep_certificate(path, hosts, now)
    assert path.read_bytes() not in (before, b"junk")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_where_it_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot write"):
        keep_certificate(tmp_path / "file" / "own.pem", HOSTS, NOW)


def test_state_is_kept_where_the_system_says() -> None:
    assert state_directory({"STATE_DIRECTORY": "/a", "XDG_STATE_HOME": "/b"}) == Path("/a/icelane")
    assert state_directory({"XDG_STATE_HOME": "/b"}) == Path("/b/icelane")
    assert state_directory({}) == Path.home() / ".local/state/icelane"


def test_own_addresses_are_addresses() -> None:
    for each in own_addresses():
        assert not ip_address(each).is_unspecified
