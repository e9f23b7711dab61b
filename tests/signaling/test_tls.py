"""HTTPS over loopback, with certificates that are made for it."""

import asyncio
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from relay.config.privatefiles import write_private
from relay.errors import ConfigError
from relay.wire.endpoint import Endpoint
from relay.wire.route import Target
from signaling.selfsigned import make_certificate
from signaling.tls import Certificate, TlsFiles
from tests.signaling.conftest import until

NOBODY = (Target(1, 1, 1), "http://127.0.0.1:9")


@pytest.fixture
def files(tmp_path: Path) -> TlsFiles:
    made = TlsFiles(tmp_path / "certificate.pem", tmp_path / "key.pem")
    both = certificate()
    for path in (made.certificate, made.key):
        write_private(path, both)
    return made


def certificate() -> bytes:
    return make_certificate(["127.0.0.1"], datetime.now(UTC))


def trusting(path: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=path)


async def test_https_is_served_and_a_new_certificate_taken_without_a_restart(
    serve: Any,
    files: TlsFiles,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("relay.config.watched.INTERVAL", 0.01)

    async def ask(url: str, authority: Path) -> int:
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"{url}/healthz", ssl=trusting(authority)) as response,
        ):
            return response.status

    async with serve(NOBODY, tls=files) as server:
        assert server.url.startswith("https://127.0.0.1:")
        old = tmp_path / "old.pem"
        old.write_bytes(files.certificate.read_bytes())
        assert await ask(server.url, old) == 200
        renewed = certificate()
        write_private(files.certificate, renewed)  # as renewal does, one file after the other
        await until(lambda: "are no certificate and its key" in caplog.text)
        assert await ask(server.url, old) == 200
        write_private(files.key, renewed)
        caplog.set_level("INFO")
        await until(lambda: "read the certificate again" in caplog.text)
        assert await ask(server.url, files.certificate) == 200
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await ask(server.url, old)


async def test_who_never_ends_his_handshake_is_left(
    serve: Any, files: TlsFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.listen.HANDSHAKE", 0.2)
    async with serve(NOBODY, tls=files) as server, asyncio.timeout(5):
        address = Endpoint.parse(server.url.removeprefix("https://"))
        for start in (b"", b"\x16\x03\x01"):
            reader, writer = await asyncio.open_connection(*address)
            writer.write(start)
            assert await reader.read() == b""
            writer.close()


async def test_plain_http_to_https_ends_without_a_word_in_the_log(
    serve: Any, files: TlsFiles, caplog: pytest.LogCaptureFixture
) -> None:
    async with serve(NOBODY, tls=files) as server, asyncio.timeout(5):
        reader, writer = await asyncio.open_connection(
            *Endpoint.parse(server.url.removeprefix("https://"))
        )
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.read()
        writer.close()
    (nobody,) = [each for each in caplog.records if each.levelname in {"WARNING", "ERROR"}]
    assert "is unreachable" in nobody.getMessage()  # the transceiver, which is not there


@pytest.mark.parametrize("missing", ["certificate", "key"])
def test_a_file_that_is_not_there_is_named(files: TlsFiles, tmp_path: Path, missing: str) -> None:
    other = {"certificate": files.certificate, "key": files.key, missing: tmp_path / "none"}
    with pytest.raises(ConfigError, match=rf"cannot read {tmp_path}/none: No such file"):
        Certificate(TlsFiles(**other))


def test_a_key_of_another_certificate_is_refused(files: TlsFiles, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    write_private(other, certificate())
    with pytest.raises(ConfigError, match="are no certificate and its key"):
        Certificate(TlsFiles(files.certificate, other))


def test_a_key_with_a_password_is_refused_and_nobody_asked(files: TlsFiles, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    secret = serialization.BestAvailableEncryption(b"secret")
    path = tmp_path / "secret.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, secret)
    )
    with pytest.raises(ConfigError, match="the key without a password"):
        Certificate(TlsFiles(files.certificate, path))
