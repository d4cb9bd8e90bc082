"""Own what a shell completes: its script, and the names of the manifest that flags take; a wrong manifest has none."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import click
from click.shell_completion import CompletionItem, get_completion_class

from builder import document

Shell = Literal["bash", "zsh", "fish"]

SHELLS: tuple[Shell, ...] = get_args(Shell)
MANIFEST = "models.yaml"  # where no other one is named
_PROGRAM = "build-image"
_VARIABLE = "_BUILD_IMAGE_COMPLETE"  # click's own name for it: the script sets it and runs the program


def script(shell: Shell, command: click.Command) -> str:
    """Return what `shell` has to read to complete `command` from then on."""
    kind = get_completion_class(shell)
    return kind(command, {}, _PROGRAM, _VARIABLE).source().strip()


def images(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Complete the names of images."""
    return _items(context, parameter, incomplete, section="images")


def models(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Complete the names of models."""
    return _items(context, parameter, incomplete, section="models")


def _items(
    context: click.Context, parameter: click.Parameter, incomplete: str, *, section: str
) -> list[CompletionItem[str]]:
    given = context.params.get(parameter.name or "") or ()
    return [
        CompletionItem(name, help=told)
        for name, told in _names(_manifest(context), section).items()
        if name.startswith(incomplete) and name not in given
    ]


def _manifest(context: click.Context) -> Path:
    """Find the manifest of the command line, whose flags may stand before and after the command."""
    found: click.Context | None = context
    while found is not None:
        path = found.params.get("models")
        if path is not None and str(path) != MANIFEST:
            return Path(path).expanduser()
        found = found.parent
    return Path(MANIFEST)


def _names(manifest: Path, section: str) -> Mapping[str, str]:
    """Read the names below one key, with what tells them apart; none where the file can't be read."""
    try:
        text = manifest.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return {}
    named: Any = document.plain(text).get(section)
    if not isinstance(named, dict):
        return {}
    return {str(name): _told(entry if isinstance(entry, dict) else {}) for name, entry in named.items()}


def _told(entry: Mapping[str, Any]) -> str:
    """Return what an image or a model is, in the words of the manifest; without commas, which fish's script cuts at."""
    members = entry.get("models")
    return " + ".join(map(str, members)) if isinstance(members, list) else str(entry.get("task") or "")
