"""Where `icelane` begins: Ctrl-C is silent from here on, while most of it is not imported yet."""

import signal


def main() -> None:
    """Run the command line."""
    # The process just dies of it, as a shell expects; a traceback would come out of an import.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from relay.cli.main import main as run

    signal.signal(signal.SIGINT, signal.default_int_handler)
    run()
