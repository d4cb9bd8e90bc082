"""Own logins at registries: those of the Docker config and of its credential helpers; it sends them to nobody."""

import json
import subprocess
from typing import Any

import docker.auth
import docker.errors

from builder.api import Credentials

HELPER_TIMEOUT_S = 30.0  # those of clouds fetch a new token first, which takes seconds
_DOCKER_HUB = ("docker.io", "index.docker.io", "registry-1.docker.io")
_NOT_FOUND = "credentials not found"  # how docker-credential-helpers words that there is no login
_TOKEN_USERNAME = "<token>"  # noqa: S105 - the name that stands for an identity token


def look_up(registry: str, *, helper_timeout_s: float = HELPER_TIMEOUT_S) -> Credentials:
    """Look up the user's login at `registry`; never raise: what stands in the way is the login's warning."""
    name = docker.auth.INDEX_NAME if registry in _DOCKER_HUB else registry
    try:
        config = docker.auth.load_config()
        helper = config.get_credential_store(name)
        if helper is not None:
            server = docker.auth.INDEX_URL if name == docker.auth.INDEX_NAME else name
            found = _ask(f"docker-credential-{helper}", server, timeout_s=helper_timeout_s)
            if found is not None:
                return found
        # Without its helpers, docker-py looks into the file alone.
        file = docker.auth.AuthConfig({"auths": config.auths})
        entry = {key.lower(): value for key, value in (file.resolve_authconfig(name) or {}).items()}
    except _HelperError as error:
        return Credentials(warning=f"{error}, so `{registry}` is asked without a login")
    except (docker.errors.DockerException, OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        return Credentials(warning=f"no login for `{registry}`: {error}")
    if token := entry.get("identitytoken"):
        return Credentials(secret=str(token))
    return Credentials(username=str(entry.get("username", "")), secret=str(entry.get("password", "")))


class _HelperError(Exception):
    """A credential helper did not do what it is there for."""


def _ask(helper: str, server: str, *, timeout_s: float) -> Credentials | None:
    """Ask a credential helper for the login at `server`, None where it knows none.

    Source: the protocol of docker-credential-helpers.
    """
    try:
        ended = subprocess.run(
            [helper, "get"], input=server, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except FileNotFoundError:
        raise _HelperError(f"`{helper}` is not installed") from None
    except OSError as error:
        raise _HelperError(f"`{helper}` can't be run ({error.strerror})") from None
    except subprocess.TimeoutExpired:
        raise _HelperError(f"`{helper}` did not answer within {timeout_s:g} s") from None
    if ended.returncode:
        said = (ended.stdout or ended.stderr).strip()
        if _NOT_FOUND in said:
            return None
        raise _HelperError(f"`{helper}` failed ({said or f'exit code {ended.returncode}'})")
    return _read(helper, ended.stdout)


def _read(helper: str, answer: str) -> Credentials | None:
    try:
        found: dict[str, Any] = json.loads(answer)
        username, secret = str(found["Username"]), str(found["Secret"])
    except (ValueError, KeyError, TypeError):
        raise _HelperError(f"`{helper}` gave no login") from None  # its answer may hold a secret
    if not secret:
        return None
    return Credentials(username="" if username == _TOKEN_USERNAME else username, secret=secret)
