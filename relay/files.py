"""Why a file of the user cannot be read or written, and what to do about it. Pure."""


def unreadable(error: OSError, *, missing: str = "") -> str:
    """Why a file cannot be read, and the remedy.

    Args:
        error: What reading it raised.
        missing: The remedy where there is no such file.
    """
    forbidden = "let this user read it, or run this as its owner"
    return _sentence(error, forbidden=forbidden, missing=missing)


def unwritable(error: OSError) -> str:
    """Why a file cannot be written, and the remedy."""
    forbidden = "name one that this user may write"
    return _sentence(error, forbidden=forbidden, missing="make its directory first")


def _sentence(error: OSError, *, forbidden: str, missing: str) -> str:
    match error:
        case PermissionError():
            remedy = forbidden
        case IsADirectoryError():
            remedy = "name a file in it"
        case FileNotFoundError():
            remedy = missing
        case _:
            remedy = ""
    return "; ".join(filter(None, [error.strerror or str(error), remedy]))
