"""Own the first moment of the program: an interrupt ends it in silence until `cli` listens; it does nothing else."""

import signal
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line; what it imports takes longer than a hasty Ctrl-C, whose traceback helps nobody."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from builder import cli  # noqa: PLC0415 - that is what takes long

    cli.main()
