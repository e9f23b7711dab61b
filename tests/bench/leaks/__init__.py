"""Whether calls leave anything behind, however they end."""
