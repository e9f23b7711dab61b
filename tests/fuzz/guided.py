"""``python -m tests.fuzz.guided TARGET OPTION...``: a target under atheris."""

import sys

import atheris


def main() -> None:
    """Fuzz until the options say that it is enough, or something is found."""
    name, *options = sys.argv[1:]
    with atheris.instrument_imports(include=["relay", "transceiver"]):
        from tests.fuzz.targets import TARGETS  # its imports are instrumented
    target, _ = TARGETS[name]
    atheris.Setup([sys.argv[0], *options], target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
