"""Configuration: files that operators write, and settings from file, environment and options."""
