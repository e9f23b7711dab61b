"""The `icelane` command: the one place above the three packages."""
