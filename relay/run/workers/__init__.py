"""A relay of several workers: processes that share its clients out among them."""
