import pytest

from transceiver.media.opussettings import OpusSettings, takes_fec


def test_nothing_said_means_mono_speech_in_full_band() -> None:
    assert OpusSettings.wanted({}) == OpusSettings(32_000, 0, bandwidth=20_000)


def test_what_the_client_says_is_honoured() -> None:
    said = {"maxaveragebitrate": "20000", "usedtx": "1", "cbr": "1", "maxplaybackrate": "16000"}
    wanted = OpusSettings.wanted(said | {"stereo": "1", "useinbandfec": "1"})
    assert wanted == OpusSettings(bitrate=20_000, dtx=True, cbr=True, bandwidth=8_000)


@pytest.mark.parametrize(
    ("text", "bitrate"),
    [
        *(("510000", 64_000), ("6000", 12_000), ("0", 12_000), ("-5", 32_000), ("", 32_000)),
        *(("fast", 32_000), ("9" * 5000, 32_000), ("\uff120000", 32_000), ("4e4", 32_000)),
    ],
    ids=lambda value: str(value)[:10],
)
def test_bitrates_have_bounds_whatever_is_said(text: str, bitrate: int) -> None:
    assert OpusSettings.wanted({"maxaveragebitrate": text}).bitrate == bitrate


@pytest.mark.parametrize(("said", "takes"), [("1", True), ("0", False), ("yes", False)])
def test_fec_is_for_those_who_ask_for_it(said: str, takes: bool) -> None:
    assert takes_fec({"useinbandfec": said}) is takes
    assert not takes_fec({})
