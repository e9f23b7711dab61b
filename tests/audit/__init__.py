"""Whether advisories are known of the locked dependencies: `make audit`."""
