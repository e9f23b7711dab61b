"""What can go wrong in the agent's hearing and speaking.

IcelaneError
└── AgentError                  a part of the agent cannot be used; the text says what to do
    ├── MissingPartError        a package that it needs is not installed
    └── PoolBusyError           as many jobs wait as may wait
"""

from relay.errors import IcelaneError


class AgentError(IcelaneError):
    """A part of the agent cannot be used; the text says why and what to do."""


class MissingPartError(AgentError):
    """A package or program that a part needs is not installed; the text says how to install it."""


class PoolBusyError(AgentError):
    """As many jobs wait for the pool as may wait: this one is not taken."""
