"""Own the command line: serve, `probe`, `selftest`, `info`; imports are lazy, so that a probe is quick."""

import os
import signal
import sys
from types import FrameType
from typing import TYPE_CHECKING

from runtime.errors import StartError
from runtime.settings import Settings, read_settings

if TYPE_CHECKING:
    import socket

    import uvicorn

    from runtime.service import Service

EXIT_INTERRUPTED = 130
_BACKLOG = 2048  # connections that may wait to be accepted

USAGE = """\
usage: python -m runtime                             serve
       python -m runtime probe [PATH] [--json BODY]  ask the running server; BODY - is read from stdin
       python -m runtime selftest [--files]          check every model in this process, and its files' digests
       python -m runtime golden                      print what every model answers to a few texts
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
        case ["selftest"] | ["selftest", "--files"]:
            from runtime import selftest  # noqa: PLC0415 - loads ONNX Runtime

            return selftest.run(settings, with_files="--files" in arguments)
        case ["golden"]:
            return _golden(settings)
        case ["info"]:
            from runtime import info  # noqa: PLC0415 - loads msgspec

            return info.run(settings)
        case ["-h" | "--help"]:
            sys.stdout.write(USAGE)
            return 0
        case _:
            raise UsageError


def _golden(settings: Settings) -> int:
    from runtime import golden  # noqa: PLC0415 - loads ONNX Runtime
    from runtime.bundle import read_bundle  # noqa: PLC0415 - as above
    from runtime.threads import usable_threads  # noqa: PLC0415 - as above

    threads = settings.intra_op_threads or usable_threads()
    sys.stdout.buffer.write(golden.document(read_bundle(settings.bundle).models, threads=threads))
    return 0


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
    # what follows takes longer to import than a probe should
    import asyncio  # noqa: PLC0415

    import uvicorn  # noqa: PLC0415

    from runtime import app, logs  # noqa: PLC0415

    logs.configure(settings.log_level)
    service = app.create_service(settings)
    config = uvicorn.Config(
        app.create_app(service, settings=settings),
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=settings.shutdown_timeout_s,
    )
    with _listen(settings) as listener, asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(_load_and_serve(service, server=uvicorn.Server(config), listener=listener))
    return 0


def _listen(settings: Settings) -> "socket.socket":
    import socket  # noqa: PLC0415 - as above

    family = socket.AF_INET6 if ":" in settings.hostname else socket.AF_INET
    address = (settings.hostname, settings.http_port)
    try:
        return socket.create_server(address, family=family, backlog=_BACKLOG)
    except OSError as error:
        raise StartError(f"cannot listen on `{settings.hostname}:{settings.http_port}`: {error.strerror}") from error


async def _load_and_serve(service: "Service", *, server: "uvicorn.Server", listener: "socket.socket") -> None:
    import asyncio  # noqa: PLC0415 - already loaded here, and not by a probe

    loading = asyncio.create_task(service.load())
    serving = asyncio.create_task(server.serve([listener]))
    await asyncio.wait({loading, serving}, return_when=asyncio.FIRST_EXCEPTION)
    server.should_exit = True
    await serving
    await loading


def _exit(number: int, _frame: FrameType | None) -> None:
    """End now: uvicorn drains what is in flight first and then raises the signal again, once for each time it came.

    Not by SystemExit, which would wait for a graph that still runs after the deadline. Nothing is left to be saved.
    """
    os._exit(EXIT_INTERRUPTED if number == signal.SIGINT else 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
