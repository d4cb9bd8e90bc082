"""Open a port of this machine to the server in a container that has no network, by `docker exec`; needs `docker`."""

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
from asyncio import StreamReader, StreamWriter
from asyncio.subprocess import PIPE
from functools import partial
from typing import cast

HOST = "127.0.0.1"  # nobody else on the network gets in by this
SERVER_PORT = 8080

# Runs in the container, once a connection: standard input to the server, and what it answers to standard output.
CONNECT = f"""
import os, socket, sys, threading
server = socket.create_connection(("127.0.0.1", {SERVER_PORT}))
def ask():
    while asked := os.read(0, 65536):
        server.sendall(asked)
    server.shutdown(socket.SHUT_WR)
threading.Thread(target=ask, daemon=True).start()
while answered := server.recv(65536):
    sys.stdout.buffer.write(answered)
    sys.stdout.buffer.flush()
"""


async def forward(reader: StreamReader, writer: StreamWriter, *, container: str) -> None:
    """Carry one connection until either end closes it."""
    command = ["docker", "exec", "--interactive", container, "python3", "-c", CONNECT]
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
    # both were asked for, which the type can't say
    asking = asyncio.create_task(pump(reader, cast("StreamWriter", process.stdin)))
    await pump(cast("StreamReader", process.stdout), writer)
    asking.cancel()
    await process.wait()


async def pump(source: StreamReader, target: StreamWriter) -> None:
    """Copy until the source ends; what is left of a connection that was cut is nobody's any more."""
    try:
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
    except ConnectionError:
        pass
    finally:
        target.close()


async def serve(container: str, *, port: int) -> None:
    async with await asyncio.start_server(partial(forward, container=container), HOST, port) as server:
        address = server.sockets[0].getsockname()
        print(f"http://{HOST}:{address[1]}/ is port {SERVER_PORT} of {container}", flush=True)
        await server.serve_forever()


def check(container: str) -> None:
    """End with what is wrong where the container can't be reached."""
    if shutil.which("docker") is None:
        sys.exit("error: `docker` is not installed\nhint: run this where the container's engine is administered")
    tried = subprocess.run(
        ["docker", "exec", container, "python3", "--version"], capture_output=True, text=True, check=False
    )
    if tried.returncode != 0:
        sys.exit(f"error: `{container}`: {tried.stderr.strip() or tried.stdout.strip()}\nhint: see `docker ps`")


def port_number(text: str) -> int:
    """Read a port; 0 takes a free one."""
    number = int(text)
    if not 0 <= number <= 65_535:
        raise ValueError(text)
    return number


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("container", help="its name or id")
    parser.add_argument("--port", type=port_number, default=SERVER_PORT, help=f"the port here (default {SERVER_PORT})")
    arguments = parser.parse_args()
    check(arguments.container)
    try:
        asyncio.run(serve(arguments.container, port=arguments.port))
    except OSError as error:
        problem = os.strerror(error.errno or 0)
        sys.exit(f"error: `{HOST}:{arguments.port}`: {problem}\nhint: choose another port with `--port`")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
