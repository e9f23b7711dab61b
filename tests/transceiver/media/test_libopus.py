import ctypes

import pytest

from transceiver.media import libopus
from transceiver.media.errors import MissingCodecError
from transceiver.media.libopus import candidates, explain, library


def test_the_library_is_found_and_called() -> None:
    assert library().opus_get_version_string().startswith(b"libopus ")
    assert library() is library()


def test_the_system_comes_first_then_what_pyav_carries() -> None:
    assert candidates()[0] == "libopus.so.0"
    for path in candidates()[1:]:
        assert ctypes.CDLL(path).opus_decoder_get_size(1) > 0


def test_each_library_there_is_would_do(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in candidates():
        monkeypatch.setattr(libopus, "candidates", lambda name=name: [name])
        assert library.__wrapped__().opus_encoder_get_size(1) > 0


def test_without_one_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    # One that is not there, and one that is something else.
    monkeypatch.setattr(libopus, "candidates", lambda: ["libnosuch.so.0", "libc.so.6"])
    with pytest.raises(MissingCodecError, match=r"apt install libopus0.*libnosuch") as caught:
        library.__wrapped__()
    assert "opus_get_version_string" in str(caught.value)


def test_errors_are_explained() -> None:
    assert explain(-4) == "corrupted stream"
