"""Own what this host knows about its network and the Hub, gathered as secrets of the build; it sends nothing.

The stages that download get them as BuildKit secret mounts (`templates/stages/network.sh` reads them), so that
neither a layer nor the history of the image holds any.
"""

import configparser
import os
import re
import shlex
import ssl
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote

from builder.errors import InputError

SECRET_LIMIT_BYTES = 500 * 1024  # what BuildKit's own clients send of one secret
_CA_VARIABLES = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
_PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
_SWITCH = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
_PIP_OPTIONS = ("index-url", "extra-index-url", "trusted-host", "no-index", "find-links", "proxy", "timeout", "retries")
_PEM_CERTIFICATE = re.compile(rb"-----BEGIN (X509 |TRUSTED )?CERTIFICATE-----")
_CA_HINT = f"pass --ca-bundle FILE with a PEM file, or unset {', '.join(_CA_VARIABLES)}"
_PIP_SECTIONS = ("global", "install")


def secrets(environment: Mapping[str, str], *, ca_bundle: Path | None = None) -> dict[str, bytes]:
    """Gather the secrets `ca_bundle`, `network`, `pip_conf` and `hf_token`; what is not set is left out.

    Raises InputError when a certificate bundle is named but can't be used, or is too large for a secret.
    """
    found = {
        "ca_bundle": _ca_bundle(ca_bundle),
        "network": _network(environment),
        "pip_conf": _pip_conf(environment),
        "hf_token": hub_token(environment).encode(),
    }
    return {name: value for name, value in found.items() if value}


def sensitive(values: Mapping[str, bytes]) -> set[str]:
    """Return the strings in `values` that must never be shown: the Hub token, and credentials inside addresses."""
    token = values.get("hf_token", b"").decode()
    settings = [address for word in shlex.split(values.get("network", b"").decode()) for address in _addresses(word)]
    options = values.get("pip_conf", b"").decode().split()
    return {token, *(text for address in [*settings, *options] for text in _credentials(address))} - {""}


def _addresses(setting: str) -> list[str]:
    name, _, value = setting.partition("=")
    return re.split(r"[,\s]+", value) if name == "HF_ENDPOINT" else [value]


def _credentials(address: str) -> Iterator[str]:
    """Yield what must not be shown of an address, as it is written there and as a program may show it.

    That is its password, and a user name without one: access tokens are often given so.
    """
    scheme, separator, rest = address.partition("://")  # a proxy's address may have no scheme
    userinfo, at, _ = (rest if separator else scheme).partition("/")[0].rpartition("@")
    user, colon, password = userinfo.partition(":")
    if at:
        secret = password if colon else user
        yield from (secret, unquote(secret))


def ca_bundle_path(environment: Mapping[str, str]) -> Path | None:
    """Return the certificate bundle that the environment names, by the first of the usual variables."""
    return next((Path(environment[name]) for name in _CA_VARIABLES if environment.get(name)), None)


def read_ca_bundle(path: Path) -> bytes:
    """Return the certificates in a file; raises InputError where it has none in PEM, or a damaged one."""
    try:
        content = path.read_bytes()
    except OSError as error:
        message = f"the certificate bundle `{path}` can't be read: {error.strerror}"
        raise InputError(message, hint=_CA_HINT) from error
    if not _PEM_CERTIFICATE.search(content):
        raise InputError(f"the certificate bundle `{path}` has no certificate in PEM", hint=_CA_HINT)
    try:
        ssl.create_default_context(cafile=str(path))
    except ssl.SSLError as error:
        raise InputError(f"a certificate in the bundle `{path}` is damaged", hint=_CA_HINT) from error
    return content


def _ca_bundle(path: Path | None) -> bytes:
    content = read_ca_bundle(path) if path else b""
    if len(content) > SECRET_LIMIT_BYTES:
        size = f"{len(content)} bytes, and a build takes at most {SECRET_LIMIT_BYTES}"
        hint = "keep only the authorities that your network needs, without the text between certificates"
        raise InputError(f"the certificate bundle `{path}` has {size}", hint=hint)
    return content


def _network(environment: Mapping[str, str]) -> bytes:
    """Write the proxies, in both spellings that programs read, and the Hub's address as a shell file."""
    lines = []
    for name in _PROXY_VARIABLES:
        value = environment.get(name) or environment.get(name.lower())
        if value:
            lines += [f"{spelling}={shlex.quote(value)}" for spelling in (name, name.lower())]
    if environment.get("HF_ENDPOINT"):
        lines.append(f"HF_ENDPOINT={shlex.quote(environment['HF_ENDPOINT'])}")
    return "".join(line + "\n" for line in lines).encode()


def _pip_conf(environment: Mapping[str, str]) -> bytes:
    """Merge pip's own configuration, files first and environment last, into one file without local paths."""
    options: dict[str, str] = {}
    for path in _pip_files(environment):
        options |= _read_pip_file(path)
    for option in _PIP_OPTIONS:
        value = environment.get("PIP_" + option.upper().replace("-", "_"))
        if value:
            options[option] = value
    reachable = {option: _without_local_paths(value) for option, value in options.items()}
    lines = [f"{option} = {value}\n" for option, value in sorted(reachable.items()) if value]
    return "".join(["[global]\n", *lines]).encode() if lines else b""


def _pip_files(environment: Mapping[str, str]) -> list[Path]:
    """List pip's configuration files, the weakest first (pip's manual, "Configuration")."""
    override = environment.get("PIP_CONFIG_FILE")
    if override == os.devnull:
        return []
    home = Path(environment.get("HOME", "/"))
    user = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
    files = [Path("/etc/xdg/pip/pip.conf"), Path("/etc/pip.conf"), home / ".pip/pip.conf", user / "pip/pip.conf"]
    files.append(Path(sys.prefix) / "pip.conf")
    return [*files, Path(override)] if override else files


def _read_pip_file(path: Path) -> dict[str, str]:
    parser = configparser.RawConfigParser()
    try:
        parser.read(path, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError) as error:
        raise InputError(f"pip's configuration `{path}` can't be read: {error}") from error
    found: dict[str, str] = {}
    for section in _PIP_SECTIONS:
        if parser.has_section(section):
            found |= {option: value for option, value in parser.items(section) if option in _PIP_OPTIONS}
    return found


def _without_local_paths(value: str) -> str:
    """Drop what a build can't see: folders and `file:` addresses of this host."""
    return " ".join(word for word in value.split() if not word.startswith(("/", ".", "~", "file:")))


def hub_token(environment: Mapping[str, str]) -> str:
    """Return the Hub token as huggingface_hub finds it: HF_TOKEN, else the file that `hf auth login` writes."""
    token = environment.get("HF_TOKEN", "").strip()
    if not token:
        cache = Path(environment.get("XDG_CACHE_HOME") or Path(environment.get("HOME", "/")) / ".cache")
        home = Path(environment.get("HF_HOME") or cache / "huggingface")
        path = Path(environment.get("HF_TOKEN_PATH") or home / "token")
        try:
            token = path.read_text(encoding="utf-8").strip()
        except (FileNotFoundError, NotADirectoryError):
            return ""
        except (OSError, UnicodeDecodeError) as error:
            hint = "log in again with `hf auth login`, or set HF_TOKEN"
            raise InputError(f"the Hub token in `{path}` can't be read: {_reason(error)}", hint=hint) from error
    return token


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error.strerror)


def registry_login(environment: Mapping[str, str]) -> tuple[str, str] | None:
    """Return user and password of REGISTRY_USER and REGISTRY_PASSWORD, None where neither is set.

    Raises InputError where one is set without the other.
    """
    user, password = environment.get("REGISTRY_USER", ""), environment.get("REGISTRY_PASSWORD", "")
    if bool(user) != bool(password):
        there, missing = ("REGISTRY_USER", "REGISTRY_PASSWORD") if user else ("REGISTRY_PASSWORD", "REGISTRY_USER")
        raise InputError(f"{there} is set, and {missing} is not", hint=f"set {missing} as well, or unset {there}")
    return (user, password) if user else None


def may_ask_hub(environment: Mapping[str, str]) -> bool:
    """Tell whether the Hub may be asked: HF_ALLOW_REMOTE_MODELS, true where it is not set or empty."""
    value = environment.get("HF_ALLOW_REMOTE_MODELS") or "true"
    if value.lower() not in _SWITCH:
        raise InputError(f"HF_ALLOW_REMOTE_MODELS is `{value}`", hint="set it to `true` or `false`, or unset it")
    return _SWITCH[value.lower()]
