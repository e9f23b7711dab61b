"""Whether strangers can reach an address that is meant for operators and services alone."""

import logging
from ipaddress import ip_address

from relay.config.conflict import Conflict
from relay.wire.endpoint import Endpoint


def is_public(listen: Endpoint) -> bool:
    """Whether an address is one of the Internet, or all that this host has."""
    address = ip_address(listen.host)
    return address.is_unspecified or address.is_global


def conflicts(listen: Endpoint, setting: str, what: str, *, allowed: bool) -> list[Conflict]:
    """What speaks against listening there, if anything.

    Args:
        listen: The address.
        setting: The setting that names it; that which allows it has ``_public`` behind it.
        what: What is served there, and for whom.
        allowed: Whether somebody has allowed it.
    """
    if allowed or not is_public(listen):
        return []
    remedies = (
        f"name an internal address, such as 127.0.0.1:{listen.port}, with {{{setting}}}",
        f"write {{{setting}_public}} if strangers are kept away by other means",
    )
    return [Conflict(f"everybody who reaches {listen} could use {what}", remedies)]


def warn(listen: Endpoint, what: str, log: logging.Logger) -> None:
    """Say so in the log, where strangers can reach it."""
    if is_public(listen):
        log.warning("strangers may reach %s at %s: let a firewall keep them away", what, listen)
