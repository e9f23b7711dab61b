"""Write the vectors: `python -m tests.fronting`."""

from tests.fronting.vectors import PATH, text

PATH.write_text(text(), "utf-8")
print(f"wrote {PATH}")
