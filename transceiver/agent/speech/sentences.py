"""Text made ready to be said: markup taken out, cut into pieces that a voice says at once. Pure."""

import re

MAX_CHARACTERS = 5_000  # of a text; the rest is not said
MAX_PIECE = 220  # characters: longer sentences are cut at commas, else between words
# The first piece is short, so that the first sound comes soon.
MAX_FIRST = 120
_SHORTENED = "mr mrs ms dr prof st mt no vs etc approx dept fig jr sr inc ltd co"
_FENCE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_LINK = re.compile(r"!?\[([^\]]{0,300})\]\([^)\s]{0,500}\)")
_ADDRESS = re.compile(r"\bhttps?://(?:www\.)?([^\s/?#]+)\S*")
_MARKS = re.compile(r"^\s{0,3}(?:#{1,6}|>|[-*•]|\d{1,3}[.)])\s+", re.MULTILINE)
_EMPHASIS = re.compile(r"(?<!\w)[*_~`]{1,3}(?=\S)|(?<=\S)[*_~`]{1,3}(?!\w)")
_END = re.compile(r"[.!?\u2026]+[\"'\u201d\u2019)\]]*(?=\s)|[:;]?\n+")
_CLAUSE = re.compile(r"[,;:\u2013\u2014](?=\s)")
# Beside letters and digits of all scripts and ASCII: quotation marks, dashes, money, signs of sums.
_OTHERS = (
    "\u2018\u2019\u201c\u201d\u2013\u2014\u2026\u20ac\u00a3\u00a5\u00b0"
    "\u00b1\u00d7\u00f7\u00bd\u00bc\u00be"
)
# What a voice would read letter by letter.
_SHORT = {
    "e.g.": "for example",
    "i.e.": "that is",
    "etc.": "and so on.",
    "&": " and ",
    "@": " at ",
}


def plain(text: str) -> str:
    """A text without what cannot be said: Markdown, addresses, pictures, control characters."""
    text = _FENCE.sub(" ", text[: 2 * MAX_CHARACTERS])
    text = _LINK.sub(r"\1", text)
    text = _ADDRESS.sub(r"\1", text)
    text = _MARKS.sub("", text)
    text = _EMPHASIS.sub("", text)
    for short, spoken in _SHORT.items():
        text = text.replace(short, spoken)
    kept = (c if c.isalnum() or c == "\n" or " " <= c <= "~" or c in _OTHERS else " " for c in text)
    return re.sub(r"[ \t]+", " ", "".join(kept)).strip()[:MAX_CHARACTERS]


def pieces(text: str) -> list[str]:
    """A text cut into what is said at once: sentences, of which long ones are cut again."""
    found: list[str] = []
    for sentence in _sentences(plain(text)):
        rest = sentence
        while rest:
            piece, rest = _cut(rest, MAX_FIRST if not found else MAX_PIECE)
            if any(c.isalnum() for c in piece):
                found.append(piece)
    return found


def _sentences(text: str) -> list[str]:
    found, start = [], 0
    for end in _END.finditer(text):
        before = text[start : end.start()].rsplit(" ", 1)[-1].lower().strip("(\"'")
        is_short = before in _SHORTENED.split() or (
            len(before) == 1 and before.isalpha() and before != "i"
        )
        if end[0] == "." and (is_short or text[end.end() :].lstrip()[:1].islower()):
            continue
        found.append(text[start : end.end()])
        start = end.end()
    found.append(text[start:])
    return [" ".join(each.split()) for each in found if each.strip()]


def _cut(sentence: str, limit: int) -> tuple[str, str]:
    """The part of a sentence that is said at once, and the rest."""
    if len(sentence) <= limit:
        return sentence, ""
    clauses = [found.end() for found in _CLAUSE.finditer(sentence, 20, limit)]
    at = clauses[-1] if clauses else sentence.rfind(" ", 0, limit)
    at = at if at > 0 else limit
    return sentence[:at].strip(), sentence[at:].strip()
