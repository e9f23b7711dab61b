"""Several relays behind a router, which hears of them by BGP and BFD."""
