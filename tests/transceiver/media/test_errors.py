from relay.errors import IcelaneError, TransceiverError, WireError
from transceiver.media.errors import CodecError, MissingCodecError, RtcpError, RtpError


def test_what_a_client_sends_is_told_apart_from_what_is_missing_here() -> None:
    assert issubclass(RtpError, WireError)
    assert issubclass(RtcpError, WireError)
    assert issubclass(CodecError, TransceiverError)
    assert issubclass(MissingCodecError, IcelaneError)
    assert not issubclass(MissingCodecError, CodecError)
