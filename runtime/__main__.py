"""Own the command line: serve, `probe`, `selftest`, `memory`, `info`; imports are lazy, so that a probe is quick."""

import os
import signal
import sys
from pathlib import Path
from types import FrameType

from runtime.errors import StartError
from runtime.settings import Settings, read_settings

EXIT_INTERRUPTED = 130

USAGE = """\
usage: python -m runtime                             serve
       python -m runtime probe [PATH] [--json BODY]  ask the running server; BODY - is read from stdin
       python -m runtime selftest [--files] [--speed]
                                                     check every model in this process, and its files' digests; and
                                                     measure the tokens that it reads in a second
       python -m runtime golden [--originals FOLDER] print what every model answers to a few texts; of optimised
                                                     models, their originals in FOLDER
       python -m runtime compare ORIGINALS WANTED    compare every optimised model with its original; WANTED has the
                                                     thresholds and samples of each
       python -m runtime memory                      measure the most memory that serving takes
       python -m runtime info                        print the bundle, versions and threads
"""


class UsageError(Exception):
    """The command line is none that is known."""


def main(arguments: list[str]) -> int:
    """Run one command and return the exit code."""
    try:
        return _run(arguments, settings=read_settings(os.environ))
    except StartError as error:
        sys.stderr.write("".join(f"error: {line}\n" for line in str(error).splitlines()))
        return error.exit_code
    except UsageError:
        sys.stderr.write(USAGE)
        return 2
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def _run(arguments: list[str], *, settings: Settings) -> int:
    match arguments:
        case [] | ["serve"]:
            return serve(settings)
        case ["probe", *rest]:
            return _probe(rest, settings=settings)
        case ["selftest" | "golden" | "compare" | "memory", *_]:
            return _measure(arguments, settings=settings)
        case ["info"]:
            from runtime import info  # noqa: PLC0415 - loads msgspec

            return info.run(settings)
        case ["-h" | "--help"]:
            sys.stdout.write(USAGE)
            return 0
        case _:
            raise UsageError


def _measure(arguments: list[str], *, settings: Settings) -> int:
    """Run one of the commands that load every model in this process."""
    # they load ONNX Runtime
    from runtime import comparison, golden, memory, selftest  # noqa: PLC0415

    match arguments:
        case ["selftest", *flags] if set(flags) <= {"--files", "--speed"}:
            return selftest.run(settings, with_files="--files" in flags, with_speed="--speed" in flags)
        case ["golden"]:
            return golden.run(settings)
        case ["golden", "--originals", folder]:
            return golden.run(settings, originals=Path(folder))
        case ["compare", originals, wanted]:
            return comparison.run(settings, originals=Path(originals), wanted=Path(wanted))
        case ["memory"]:
            return memory.run(settings)
        case _:
            raise UsageError


def _probe(arguments: list[str], *, settings: Settings) -> int:
    from runtime.probe import probe  # noqa: PLC0415 - the server has no use for an HTTP client

    body = None
    match arguments:
        case [*rest, "--json", "-"]:
            body = sys.stdin.buffer.read()
        case [*rest, "--json", text]:
            body = os.fsencode(text)
        case rest:
            pass
    match rest:
        case []:
            return probe(settings, path="/health", body=body)
        case [path] if path.startswith("/"):
            return probe(settings, path=path, body=body)
        case _:
            raise UsageError


def serve(settings: Settings) -> int:
    """Listen at once, load the models, and serve until a signal: SIGTERM ends with 0 after what is in flight.

    So does the first Ctrl-C, with 130, and the second one ends at once. Raises StartError.
    """
    signal.signal(signal.SIGTERM, _exit)
    signal.signal(signal.SIGINT, _exit)
    from runtime import logs, server  # noqa: PLC0415 - takes longer to import than a probe should

    logs.configure(settings.log_level)
    server.run(settings)
    return 0


def _exit(number: int, _frame: FrameType | None) -> None:
    """End now: uvicorn drains what is in flight first and then raises the signal again, once for each time it came.

    Not by SystemExit, which would wait for a graph that still runs after the deadline. Nothing is left to be saved.
    """
    os._exit(EXIT_INTERRUPTED if number == signal.SIGINT else 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
