"""Every component of a site is replaced, one after the other, under calls."""
