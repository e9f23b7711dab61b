"""A relay of several workers: processes among which the kernel distributes clients."""
