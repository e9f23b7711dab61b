"""A virtual machine with a kernel of its own, to run Icelane in: image, machine, and its test."""
