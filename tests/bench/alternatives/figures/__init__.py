"""The table that is made of what was measured, for a terminal, as JSON, and for the page."""
