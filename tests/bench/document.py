"""A document with a part that a benchmark writes. Pure."""

from tests.bench.errors import BenchError

_BEGIN, _END = "<!-- tables: begin -->", "<!-- tables: end -->"


def renewed(text: str, tables: str) -> str:
    """A document with its tables renewed.

    Raises:
        BenchError: It has no place for them.
    """
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise BenchError(f"the document has no lines {_BEGIN} and {_END}: add them")
    return f"{before}{begin}\n{tables}\n{end}{after}"
