"""Why a file of the user cannot be read or written, and what to do about it. Pure."""


def unreadable(error: OSError, *, missing: str = "") -> str:
    """Why a file cannot be read, and the remedy.

    Args:
        error: What reading it raised.
        missing: The remedy where there is no such file.
    """
    match error:
        case PermissionError():
            remedy = "let this user read it, or run this as its owner"
        case IsADirectoryError():
            remedy = "name a file in it"
        case FileNotFoundError():
            remedy = missing
        case _:
            remedy = ""
    return _sentence(error, remedy)


def unwritable(error: OSError) -> str:
    """Why a file cannot be written, and the remedy."""
    match error:
        case PermissionError():
            remedy = "name one that this user may write"
        case IsADirectoryError():
            remedy = "name a file in it"
        case FileNotFoundError():
            remedy = "make its directory first"
        case _:
            remedy = ""
    return _sentence(error, remedy)


def _sentence(error: OSError, remedy: str) -> str:
    return "; ".join(filter(None, [error.strerror or str(error), remedy]))
