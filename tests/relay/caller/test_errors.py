import pytest

from relay.caller.errors import CallError, Failure


@pytest.mark.parametrize("failure", Failure)
def test_each_failure_has_an_exit_code_of_its_own(failure: Failure) -> None:
    error = CallError(failure, "what failed")
    assert str(error) == "what failed"
    assert error.exit_code == failure
    assert failure > 2, "0 is success, 1 and 2 are those of any command"
    assert [each for each in Failure.__members__.values() if each == failure] == [failure]
