from transceiver.errors import ControlApiError, OfferError


def test_an_offer_error_has_a_code_for_programs() -> None:
    assert OfferError("there is no audio", "no_media").code == "no_media"
    assert OfferError("the first line must be v=0").code == "invalid_sdp"


def test_a_control_api_error_is_a_response() -> None:
    error = ControlApiError(503, "full", "all 20 sessions are taken", {"Retry-After": "5"})
    assert (error.status, error.code, str(error)) == (503, "full", "all 20 sessions are taken")
    assert error.headers == {"Retry-After": "5"}
