"""The packets and tokens on the wire: pure code over bytes, without IO, clocks or randomness."""
