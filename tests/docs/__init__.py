"""The documentation: pages that are made of the code, the site, and what holds both to the code."""
