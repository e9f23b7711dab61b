"""Packets made and counted inside the kernel, so that the ends are faster than any system.

`test_stream.py` has all that sends: `attach`, `layout`, `programs`, `sender`, `sendingprocess`,
`testrun`. `test_roundtrip.py` has `pinger`, `test_soak.py` `soaker`, `systems/test_opening.py`
`checks`.
"""
