"""The session that a client asks for, as far as signaling looks into it. Pure.

What its fields mean is the back end's matter, which also takes fields that no schema has. Here it
is only made sure that it is an object that can be passed on, and of a kind that there is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from relay.jsontext import as_json, length
from signaling.errors import ApiError
from signaling.resume import Tokens, name_of

#: Bytes of a session as JSON in UTF-8, without spaces. It is passed on in ASCII, up to threefold.
MAX_SESSION = 64 << 10
#: Levels of objects and lists in each other; JSON schemas of tools have a dozen.
MAX_DEPTH = 64
MAX_MODEL = 256  # characters
_TYPES = ("realtime", "transcription")


@dataclass(frozen=True, slots=True)
class Setup:
    """How a call begins, but for its offer.

    Attributes:
        session: The session that the client asks for; None where it asks for none.
        model: The model that it asks for; None for whatever there is.
        principal: Who calls; None where nobody has a name.
        region: Where he is; None where nobody knows.
        resume: The name of the conversation that the call goes on with; None for a new one.
        keep: The name under which its own is kept if it is lost; None where it is not.
    """

    session: dict[str, Any] | None = None
    model: str | None = None
    principal: str | None = None
    region: str | None = None
    resume: str | None = field(default=None, repr=False)
    keep: str | None = field(default=None, repr=False)

    def continuing(self, tokens: Tokens) -> Self:
        """The same, of a call with these tokens."""
        resume, keep = (name_of(each, self.principal) for each in (tokens.shown, tokens.own))
        return replace(self, resume=resume, keep=keep)

    def under(self, bound: Mapping[str, Any] | None) -> Self:
        """The same, where a client secret stands for a session: that is what is not said here.

        Its model is bound, whatever is said here: clients name the one they know in the URL.
        """
        if bound is None:
            return self
        session = {**bound, **(self.session or {})}
        model = bound.get("model")
        if model is None:
            return replace(self, session=session)
        return replace(self, session={**session, "model": model}, model=model)


NO_SETUP = Setup()


def check_session(value: Any, *, typed: bool = False) -> dict[str, Any] | None:
    """Check a session; None stands for none.

    Args:
        value: What a client sent as JSON.
        typed: Whether it must say of which type it is.

    Raises:
        ApiError: It is no session that could be passed on.
    """
    if value is None and not typed:
        return None
    if not isinstance(value, dict):
        raise _invalid("invalid_session", "The session must be a JSON object.", "session")
    if _is_deeper(value, MAX_DEPTH):
        raise _invalid(
            "invalid_session", f"The session has more than {MAX_DEPTH} levels.", "session"
        )
    try:
        size = length(as_json(value, strict=True))
    except ValueError:
        raise _invalid("invalid_session", "The session has numbers that JSON lacks.") from None
    if size > MAX_SESSION:
        raise ApiError(
            413,
            "session_too_large",
            f"The session has {size} bytes as JSON, and may have {MAX_SESSION}.",
            param="session",
        )
    kind = value.get("type")
    if kind is None and typed:
        raise _invalid(
            "missing_required_parameter",
            "The session needs a type: realtime or transcription.",
            "session.type",
        )
    if kind is not None and kind not in _TYPES:
        raise _invalid(
            "invalid_value", f"The type of a session is {' or '.join(_TYPES)}.", "session.type"
        )
    check_model(value.get("model"), "session.model")
    return value


def check_model(value: Any, param: str = "model") -> str | None:
    """Check the name of a model; None stands for none.

    Raises:
        ApiError: It is no such name.
    """
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= MAX_MODEL or not value.isprintable():
        raise _invalid(
            "invalid_value", f"A model has a name of 1 to {MAX_MODEL} characters.", param
        )
    return value


def choose_model(asked: str | None, allowed: tuple[str, ...]) -> str | None:
    """The model of a session: the one that is asked for, or the first that is allowed.

    Args:
        asked: The one that is asked for, if one is.
        allowed: Those that the key may use; empty for all.

    Raises:
        ApiError: It is none of those.
    """
    if not allowed:
        return asked
    if asked is None:
        return allowed[0]
    if asked not in allowed:
        raise ApiError(
            403,
            "model_not_found",
            f"This API key may use {', '.join(allowed)}, and not {asked}.",
            param="model",
        )
    return asked


def _is_deeper(value: Any, levels: int) -> bool:
    """Whether there are more levels; without recursion, which a client could drive too deep."""
    level = [value]
    for _ in range(levels):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (dict, list))
        ]
        if not level:
            return False
    return True


def _invalid(code: str, message: str, param: str = "session") -> ApiError:
    return ApiError(400, code, message, param=param)
