"""What lets servers of others be fronted: test vectors, and servers behind a real relay.

`python -m tests.fronting` writes the vectors, docs/fronting/vectors.json, by which the tests of Go,
JavaScript and Python hold the three implementations of the wire format together.
"""
