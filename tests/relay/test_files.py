import errno

import pytest

from relay.files import unreadable, unwritable


def error(number: int, text: str) -> OSError:
    return OSError(number, text)  # which is of the subclass that this errno has


@pytest.mark.parametrize(
    ("cause", "reading", "writing"),
    [
        (
            error(errno.ENOENT, "No such file"),
            "No such file; make one",
            "No such file; make its directory first",
        ),
        (
            error(errno.EACCES, "Permission denied"),
            "Permission denied; let this user read it, or run this as its owner",
            "Permission denied; name one that this user may write",
        ),
        (
            error(errno.EISDIR, "Is a directory"),
            "Is a directory; name a file in it",
            "Is a directory; name a file in it",
        ),
        (error(errno.EROFS, "Read-only"), "Read-only", "Read-only"),
        (OSError("odd"), "odd", "odd"),
    ],
)
def test_each_cause_has_its_own_remedy(cause: OSError, reading: str, writing: str) -> None:
    assert unreadable(cause, missing="make one") == reading
    assert unwritable(cause) == writing


def test_nothing_is_advised_where_a_missing_file_has_no_remedy() -> None:
    assert unreadable(error(errno.ENOENT, "No such file")) == "No such file"
