"""Put an engine's unix socket behind TLS on loopback, as a daemon with `--tlsverify` would be."""

import asyncio
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support import relay


def make_certificates(folder: Path) -> None:
    """Write what DOCKER_CERT_PATH wants: `ca.pem`, and one pair for 127.0.0.1 that serves both sides."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    (folder / "extensions").write_text("subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n")
    key = ["-newkey", "rsa:2048", "-nodes"]
    use = ["-addext", "keyUsage=critical,keyCertSign"]
    openssl("req", "-x509", *key, "-keyout", "ca-key.pem", "-out", "ca.pem", "-subj", "/CN=test authority", *use)
    openssl("req", *key, "-keyout", "key.pem", "-out", "request.pem", "-subj", "/CN=test")
    signing = ["-CA", "ca.pem", "-CAkey", "ca-key.pem", "-CAcreateserial", "-extfile", "extensions"]
    openssl("x509", "-req", "-in", "request.pem", "-out", "cert.pem", "-days", "1", *signing)


@contextmanager
def served(socket_path: str, *, certificates: Path) -> Iterator[str]:
    """Forward a port of loopback to `socket_path`, for clients that `certificates` know; yield DOCKER_HOST's value."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(certificates / "ca.pem"))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(certificates / "cert.pem", certificates / "key.pem")

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await relay.exchange((reader, writer), await asyncio.open_unix_connection(socket_path))

    listener = socket.create_server(("127.0.0.1", 0))
    with relay.served(forward, listener=listener, tls=context):
        yield f"tcp://127.0.0.1:{listener.getsockname()[1]}"
