"""Coverage-guided fuzzing: `python -m tests.fuzz`, or `make fuzz`.

`targets` has the parsers in Python, which atheris drives (`guided`); `parsers.c` has those in C,
built for the host with libFuzzer, ASan and UBSan, and holds each verdict against that of `oracle`.
"""
