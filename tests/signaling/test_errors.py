import pytest

from signaling.errors import ApiError


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (429, "rate_limit_error"),
        (499, "invalid_request_error"),
        (500, "server_error"),
        (503, "server_error"),
    ],
)
def test_the_type_of_an_error_says_whose_fault_it_is(status: int, kind: str) -> None:
    error = ApiError(status, "some_code", "What is wrong.", param="sdp")
    assert error.body == {
        "error": {"type": kind, "code": "some_code", "message": "What is wrong.", "param": "sdp"}
    }
    assert str(error) == "What is wrong."


def test_an_error_without_a_field_and_headers_has_none() -> None:
    error = ApiError(404, "some_code", "What is wrong.")
    assert error.body["error"]["param"] is None
    assert error.headers == {}
