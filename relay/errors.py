"""The root and the branches of all errors of Icelane; what lies below a branch is in its package.

    IcelaneError
    ├── ConfigError         a setting, a file or an option is missing or wrong
    │   ├── ConflictError   relay.config.conflict
    │   ├── RegistryError   relay.config.registry
    │   ├── KeyFileError    relay.wire.errors
    │   └── ApiKeyError     signaling.auth.apikeys
    ├── WireError           bytes or text are not what they should be: relay.wire.errors
    ├── OutputError         standard output cannot be written
    ├── BindError           a transport address cannot be bound
    ├── DataplaneError      a dataplane cannot be used: relay.dataplane.errors
    │   ├── DataplaneFull
    │   ├── AttachError
    │   └── BtfError
    ├── MirrorError         Redis, or a record in it, cannot be used: relay.mirror
    ├── FleetError          the registry in Redis, or an entry of it, cannot be used: relay.registry
    ├── WorkerError         a worker process does not serve
    ├── AdminError          no agent answers, or it cannot do what is asked
    │   └── TakeoverError   an agent does not hand its calls over
    ├── NetnsError          a network namespace cannot be made or entered
    ├── TransceiverError    the transceiver cannot take a session: transceiver.errors
    ├── AgentError          the offline agent cannot hear or speak: transceiver.agent.speech.errors
    ├── SignalingError      signaling cannot place a call: signaling.errors
    └── CallError           `icelane call` failed: relay.caller.errors

The text of an error is one sentence for people: what is wrong, and what to do. The command line
prints it and ends with `exit_code`; anything that is not an `IcelaneError` is a bug.
"""


class IcelaneError(Exception):
    """Something that a user can do something about; the text says what.

    Attributes:
        exit_code: With which a command ends.
    """

    exit_code: int = 1


class ConfigError(IcelaneError, ValueError):
    """Settings, files or options are missing or wrong; the text says which, and what to write.

    Attributes:
        problems: A sentence for each mistake.
    """

    exit_code = 2  # as for wrong usage everywhere

    def __init__(self, *problems: str) -> None:
        """Take all mistakes at once, a sentence each."""
        super().__init__(*problems)
        self.problems = problems

    def __str__(self) -> str:
        """The sentence, or a list of them."""
        if len(self.problems) == 1:
            return self.problems[0]
        return "\n  ".join([f"{len(self.problems)} settings are wrong:", *self.problems])


class WireError(IcelaneError, ValueError):
    """Bytes from the network, or a text that stands for some, are not what they should be."""


class OutputError(IcelaneError):
    """Standard output cannot be written; the text says why."""


class BindError(IcelaneError):
    """A transport address cannot be bound; the text says why and what to do."""


class DataplaneError(IcelaneError):
    """A dataplane cannot be used; the text says why and what to do."""


class MirrorError(IcelaneError):
    """Redis, or what it holds, cannot be used."""


class FleetError(IcelaneError):
    """The registry in Redis, or what it holds, cannot be used."""


class WorkerError(IcelaneError):
    """A worker process of a relay does not serve; it has said why."""


class AdminError(IcelaneError):
    """The admin socket cannot be opened, no agent answers there, or it cannot do what is asked."""


class TakeoverError(AdminError):
    """An agent that runs does not hand its calls over; the text says why."""


class NetnsError(IcelaneError):
    """A network namespace cannot be made or entered; the text says why and what to do."""


class TransceiverError(IcelaneError):
    """The transceiver cannot take a session or answer an offer."""


class SignalingError(IcelaneError):
    """Signaling cannot do what a client or a service asks."""
