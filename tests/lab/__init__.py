"""A lab of network namespaces in which the real parts run, and the demo that uses it."""
