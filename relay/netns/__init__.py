"""Network namespaces: hosts on this machine with a network of their own."""
