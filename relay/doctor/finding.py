"""What was found of one thing: how it is, in words, and what mends it. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

# What parts a sentence of ours from its remedy, the first of these that it has.
_BEFORE_REMEDY = (". ", "; ", ": ")


class Verdict(StrEnum):
    """How a thing is."""

    OK = "ok"
    WARN = "warn"  # calls work, and some may not, or not always
    FAIL = "fail"  # a relay does not start, or its calls do not work
    UNKNOWN = "unknown"  # this process could not see it


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one thing.

    Attributes:
        name: The thing; the same each time.
        verdict: How it is.
        says: What was found, in words.
        fix: The command or sentence that mends it; never empty where something is wrong.

    Raises:
        ValueError: Something is wrong, and nothing says what mends it.
    """

    name: str
    verdict: Verdict
    says: str
    fix: str = ""

    def __post_init__(self) -> None:
        if self.verdict in (Verdict.WARN, Verdict.FAIL) and not self.fix:
            raise ValueError(f"{self.name}: nothing says what mends it")

    @classmethod
    def ok(cls, name: str, says: str) -> "Finding":
        """All is well."""
        return cls(name, Verdict.OK, says)

    @classmethod
    def unknown(cls, name: str, says: str, fix: str = "") -> "Finding":
        """It could not be seen; `fix` says how it can."""
        return cls(name, Verdict.UNKNOWN, says, fix)

    @classmethod
    def told(cls, name: str, verdict: Verdict, sentence: str) -> "Finding":
        """Take a sentence of ours, which ends with its remedy.

        The remedy is behind the last full stop, semicolon or colon, the first of them that there
        is; one that has none of them is its own remedy.
        """
        sentence = sentence.strip().removesuffix(".")
        for mark in _BEFORE_REMEDY:
            says, _, fix = sentence.rpartition(mark)
            if says:
                return cls(name, verdict, says, fix)
        return cls(name, verdict, sentence, sentence)


def any_failed(findings: Iterable[Finding]) -> bool:
    """Whether anything is as it must not be."""
    return any(each.verdict is Verdict.FAIL for each in findings)
