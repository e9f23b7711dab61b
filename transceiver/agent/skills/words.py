"""Words of a request, and numbers among them: "twenty five", "3.5", "minus two point one"."""

import re
from collections.abc import Sequence
from fractions import Fraction

MAX_CHARACTERS = 2_000  # of a request that is looked at
MAX_DIGITS = 30  # of a number that is reckoned with

_TO_NINETEEN = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
)
UNITS = {word: value for value, word in enumerate(_TO_NINETEEN.split())}
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
TENS = {word: 10 * value for value, word in enumerate(_TENS.split(), start=2)}
SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9}
_SHORT = {
    "what's": "what is",
    "whats": "what is",
    "it's": "it is",
    "i'm": "i am",
    "you're": "you are",
    "who's": "who is",
    "how's": "how is",
    "that's": "that is",
    "today's": "today",
    "don't": "do not",
    "can't": "can not",
    "cannot": "can not",
    "let's": "let us",
}
_SIGNS = {
    "+": "plus",
    "*": "times",
    "\N{MULTIPLICATION SIGN}": "times",
    "\N{DIVISION SIGN}": "divided",
    "/": "divided",
    "^": "power",
}
_PLAIN = str.maketrans({"\N{RIGHT SINGLE QUOTATION MARK}": "'", "\N{MINUS SIGN}": "-"})
_TOKEN = re.compile(
    r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"  # a number
    r"|[^\W\d_]+(?:'[^\W\d_]+)*"  # a word
    r"|[-+*\xd7\xf7/^%()=]"  # a sign
)


def words(text: str) -> list[str]:
    """A request's words in lower case: short forms written out, signs as words, thousands joined.

    A hyphen between letters only joins words ("twenty-five"); any other is ``minus``.
    """
    text = text[:MAX_CHARACTERS].lower().translate(_PLAIN)
    text = re.sub(r"(?<=[^\W\d_])-(?=[^\W\d_])", " ", text)
    text = re.sub(r"(?<=\d)\s*x\s*(?=\d)", " times ", text)
    found: list[str] = []
    for part in _TOKEN.findall(text):
        if part[0].isdigit():
            found.append(part.replace(",", ""))
        elif part == "-":
            found.append("minus")
        elif part == "%":
            found.append("percent")
        elif part in _SIGNS:
            found.append(_SIGNS[part])
        elif part in "()":
            found.append(part)
        elif part != "=":
            found.extend(_SHORT.get(part, part.removesuffix("'s")).split())
    return found


def number_at(line: Sequence[str], at: int) -> tuple[Fraction, int] | None:
    """The number that begins at a word, and where the words go on after it; None if none does."""
    negative = at < len(line) and line[at] in {"minus", "negative"}
    start = at + negative
    whole = _whole(line, start)
    if whole is None:
        return None
    value, end = whole
    if end + 1 < len(line) and line[end] == "point":
        digits = ""
        after = end + 1
        while after < len(line) and (digit := _digit(line[after])) is not None:
            digits += digit
            after += 1
        if digits and len(digits) <= MAX_DIGITS:
            value, end = value + Fraction(int(digits), 10 ** len(digits)), after
    return (-value if negative else value), end


def _digit(word: str) -> str | None:
    if word.isdecimal() and word.isascii():
        return word
    value = UNITS.get("zero" if word in {"oh", "o"} else word)
    return str(value) if value is not None and value < 10 else None


def _whole(line: Sequence[str], at: int) -> tuple[Fraction, int] | None:
    """The number at a word, without sign and spoken fraction."""
    if at >= len(line):
        return None
    if line[at][0].isdigit():
        if len(line[at]) > MAX_DIGITS or not line[at].isascii():
            return None
        value, end = Fraction(line[at]), at + 1
        if end < len(line) and line[end] in SCALES:
            value, end = value * SCALES[line[end]], end + 1
        return value, end
    return _in_words(line, at)


def _in_words(line: Sequence[str], at: int) -> tuple[Fraction, int] | None:
    """A number in words: groups below a thousand, each with its scale, falling."""
    total, scale, end = 0, 10**12, at
    while (found := _group(line, end)) is not None:
        group, after = found
        if after < len(line) and SCALES.get(line[after], scale) < scale:
            scale = SCALES[line[after]]
            total, end = total + group * scale, after + 1
            if end + 1 < len(line) and line[end] == "and" and line[end + 1] in {**UNITS, **TENS}:
                end += 1
        else:
            return Fraction(total + group), after
    if end == at:
        return None
    return Fraction(total), end - (line[end - 1] == "and")


def _group(line: Sequence[str], at: int) -> tuple[int, int] | None:
    """A number below a thousand, without a scale: "a hundred and five", "twenty one", "nine"."""
    value, end = 0, at
    if line[at : at + 1] in (["a"], ["an"]) and line[at + 1 : at + 2] in (
        ["hundred"],
        *([each] for each in SCALES),
    ):
        value, end = 1, at + 1
    else:
        value, end = _below_hundred(line, at)
        if end == at:
            return None
    if line[end : end + 1] == ["hundred"] and 0 < value < 100:
        value, end = value * 100, end + 1
        after = end + (line[end : end + 1] == ["and"])
        rest, stop = _below_hundred(line, after)
        if stop > after:
            value, end = value + rest, stop
    return value, end


def _below_hundred(line: Sequence[str], at: int) -> tuple[int, int]:
    """A number below a hundred, and where the words go on; the same place if there is none."""
    if at >= len(line):
        return 0, at
    if line[at] in UNITS:
        return UNITS[line[at]], at + 1
    if line[at] not in TENS:
        return 0, at
    value, end = TENS[line[at]], at + 1
    if end < len(line) and 0 < UNITS.get(line[end], 0) < 10:
        return value + UNITS[line[end]], end + 1
    return value, end


def spoken(value: Fraction) -> str:
    """A number as a voice reads it well: at most three places, and no digits without end."""
    sign = "minus " if value < 0 else ""
    value = abs(value)
    if value >= 10**15:
        exponent = len(str(value.numerator // value.denominator)) - 1
        return f"{sign}{float(value / 10**exponent):.3g} times ten to the power of {exponent}"
    rounded = round(value, 3)
    if not rounded and value:
        return sign + (f"{float(value):.6f}".rstrip("0").rstrip(".") or "0")
    text = f"{int(rounded):,}"
    places = f"{int((rounded - int(rounded)) * 1000):03d}".rstrip("0")
    return sign + text + (f".{places}" if places else "")


def is_rounded(value: Fraction) -> bool:
    """Whether `spoken` says less than the value is."""
    return abs(value) >= 10**15 or round(value, 3) != value
