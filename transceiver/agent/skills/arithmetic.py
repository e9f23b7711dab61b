"""Sums in words and digits: "what is twelve times seven", "20 percent of 50", "(2+3)*4".

    sum     = product (("plus" | "minus") product)*
    product = power (("times" | "divided by" | "percent of") power)*
    power   = factor ("squared" | "cubed" | "to the power of" factor)*
    factor  = number | "(" sum ")" | "square root of" factor

Numbers are exact fractions; what grows beyond `MAX_BITS` is refused rather than reckoned.
"""

from collections.abc import Sequence
from fractions import Fraction
from math import isqrt

from relay.errors import TransceiverError
from transceiver.agent.skills.words import is_rounded, number_at, spoken

MAX_BITS = 512  # of a numerator or denominator
_MAX_WORDS = 80
_MAX_EXPONENT = 64
_LEADS = (
    ("what", "is"),
    ("how", "much", "is"),
    ("how", "much", "are"),
    ("what", "are"),
    ("calculate",),
    ("compute",),
    ("work", "out"),
    ("tell", "me"),
    ("can", "you"),
    ("please",),
    ("and",),
    ("so",),
    ("the", "sum", "of"),
    ("the", "result", "of"),
)
# Before two numbers with "and", "from", "to", "by" or "with" between them.
_VERBS = {
    "add": ("plus", ("and", "to", "with")),
    "multiply": ("times", ("by", "and", "with")),
    "divide": ("divided", ("by",)),
    "subtract": ("from", ("from",)),
}
_TAILS = ("please", "equal", "equals", "make", "is", "now", "thanks")


class _NoSumError(TransceiverError):
    """The words are no sum."""


class _SaidError(TransceiverError):
    """They are one, without a result that could be said."""


class _NoAnswerError(_SaidError):
    """There is none among real numbers."""


class _TooLargeError(_SaidError):
    """Nobody would listen to it."""


_WHY_NOT: dict[type[Exception], str] = {
    ZeroDivisionError: "Nothing can be divided by zero.",
    _NoAnswerError: "A negative number has no square root that I could say.",
    _TooLargeError: "That number is too large for me.",
}


def reckon(line: Sequence[str]) -> str | None:
    """The sentence that answers a sum; None if the words are none."""
    body = _body(list(line))
    if not 2 < len(body) <= _MAX_WORDS and not _is_short_power(body):
        return None
    reader = _Reader(_infix(body))
    try:
        value = reader.sum()
    except _NoSumError:
        return None
    except (_SaidError, ZeroDivisionError) as error:
        return _WHY_NOT[type(error)]
    if reader.at != len(reader.line) or not reader.worked:
        return None
    about = "about " if reader.rounded or is_rounded(value) else ""
    return f"That is {about}{spoken(value)}."


def _is_short_power(body: Sequence[str]) -> bool:
    return len(body) == 2 and body[1] in {"squared", "cubed"}


def _body(line: list[str]) -> list[str]:
    """The words without what is said around a sum."""
    found = True
    while found:
        found = False
        for lead in _LEADS:
            if tuple(line[: len(lead)]) == lead:
                line, found = line[len(lead) :], True
    while line and line[-1] in _TAILS:
        line = line[:-1]
    return line


def _infix(line: list[str]) -> list[str]:
    """Such as "add 3 and 4" as "3 plus 4"; other words as they are."""
    if line[0] not in _VERBS:
        return line
    operator, joins = _VERBS[line[0]]
    first = number_at(line, 1)
    if first is None or first[1] >= len(line) or line[first[1]] not in joins:
        return line
    left, right = line[1 : first[1]], line[first[1] + 1 :]
    if operator == "from":
        return [*right, "minus", *left]
    return [*left, operator, *right]


class _Reader:
    """Reads a sum from left to right.

    Attributes:
        at: Where it is.
        worked: Whether anything was reckoned: a number alone is no sum.
        rounded: Whether the value is near the true one only.
    """

    def __init__(self, line: list[str]) -> None:
        self.line = line
        self.at = 0
        self.worked = self.rounded = False

    def sum(self, depth: int = 0) -> Fraction:
        value = self._product(depth)
        while True:
            if self._take("plus"):
                value = self._result(value + self._product(depth))
            elif self._take("minus") or self._take("less"):
                value = self._result(value - self._product(depth))
            else:
                return value

    def _product(self, depth: int) -> Fraction:
        value = self._power(depth)
        while True:
            if self._take("times") or self._take("multiplied", "by"):
                value = self._result(value * self._power(depth))
            elif self._take("divided", "by") or self._take("divided") or self._take("over"):
                value = self._result(value / self._power(depth))
            elif self._take("percent", "of"):
                value = self._result(value / 100 * self._power(depth))
            else:
                return value

    def _power(self, depth: int) -> Fraction:
        value = self._factor(depth)
        while True:
            if self._take("squared"):
                value = self._raised(value, 2)
            elif self._take("cubed"):
                value = self._raised(value, 3)
            elif self._take("to", "the", "power", "of") or self._take("power"):
                exponent = self._factor(depth)
                if exponent.denominator != 1 or abs(exponent) > _MAX_EXPONENT:
                    raise _TooLargeError
                value = self._raised(value, int(exponent))
            else:
                return value

    def _factor(self, depth: int) -> Fraction:
        if depth > 20:
            raise _NoSumError
        if self._take("the", "square", "root", "of") or self._take("square", "root", "of"):
            return self._root(self._factor(depth + 1))
        if self._take("("):
            value = self.sum(depth + 1)
            if not self._take(")"):
                raise _NoSumError
            return value
        if self._take("minus", "("):
            self.at -= 1
            return -self._factor(depth + 1)
        found = number_at(self.line, self.at)
        if found is None:
            raise _NoSumError
        value, self.at = found
        return value

    def _root(self, value: Fraction) -> Fraction:
        if value < 0:
            raise _NoAnswerError
        scaled = value * 10**12
        root = Fraction(isqrt(scaled.numerator // scaled.denominator), 10**6)
        near = round(root, 3)
        if near * near == value:
            return self._result(near)
        self.rounded = True
        return self._result(root)

    def _raised(self, value: Fraction, exponent: int) -> Fraction:
        bits = max(abs(value.numerator), value.denominator).bit_length()
        if bits * abs(exponent) > MAX_BITS:
            raise _TooLargeError
        return self._result(value**exponent)

    def _result(self, value: Fraction) -> Fraction:
        if max(abs(value.numerator), value.denominator).bit_length() > MAX_BITS:
            raise _TooLargeError
        self.worked = True
        return value

    def _take(self, *expected: str) -> bool:
        if tuple(self.line[self.at : self.at + len(expected)]) != expected:
            return False
        self.at += len(expected)
        return True
