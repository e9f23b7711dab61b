"""`python -m tests.metrics`: make docs/metrics.md and the dashboards anew."""

from tests.metrics import dashboards, reference


def main() -> None:
    """Write them."""
    reference.PATH.write_text(reference.text(), "utf-8")
    print(reference.PATH)
    for path, text in dashboards.texts().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
        print(path)


if __name__ == "__main__":
    main()
