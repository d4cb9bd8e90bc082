"""Own one request to the server of this container, for health checks and smoke tests; it imports nothing heavy."""

import http.client
import sys

from runtime.settings import Settings

_TIMEOUT_S = 60
_EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what is listened on, and how to reach it


def probe(settings: Settings, *, path: str, body: bytes | None) -> int:
    """Ask for a path, with a body by POST, print what is answered, and return 0 if its status is 2xx."""
    host = _EVERY_ADDRESS.get(settings.hostname, settings.hostname)
    connection = http.client.HTTPConnection(host, settings.http_port, timeout=_TIMEOUT_S)
    headers = _authorization(settings)
    try:
        if body is None:
            connection.request("GET", path, headers=headers)
        else:
            connection.request("POST", path, body, {"Content-Type": "application/json", **headers})
        response = connection.getresponse()
        sys.stdout.buffer.write(response.read() + b"\n")
    except (OSError, http.client.HTTPException, ValueError) as error:
        sys.stderr.write(f"error: `{host}:{settings.http_port}{path}`: {error}\n")
        return 1
    finally:
        connection.close()
    return 0 if 200 <= response.status < 300 else 1


def _authorization(settings: Settings) -> dict[str, str]:
    """Send the server's own key to it."""
    if not settings.api_key and settings.api_key_file is None:
        return {}
    from runtime.keys import read_keys  # noqa: PLC0415 - hashes nothing, but would load what does

    return {"Authorization": f"Bearer {read_keys(settings)[0]}"}
