"""Own the marks by which CI systems fold and point out lines of a log, and keep other texts from being taken for one.

Sources: GitHub's "Workflow commands", with the escapes of its runner (ActionCommand.cs), and GitLab's "CI/CD job logs",
custom collapsible sections. Nothing is written here.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from builder import ci

Kind = Literal["error", "warning"]

_IN_MESSAGES = {"%": "%25", "\r": "%0D", "\n": "%0A"}
_IN_PROPERTIES = _IN_MESSAGES | {":": "%3A", ",": "%2C"}
_COMMAND = re.compile(r"^(\s*):(?=:)", re.MULTILINE)
_OLD_COMMAND = "##["  # which the runner still obeys, anywhere in a line
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_ERASE = "\x1b[0K"


@dataclass(frozen=True, kw_only=True, slots=True)
class Note:
    """What is pointed out: `file` and `line` where it is about a place, and else `title` names what it is about."""

    kind: Kind
    message: str
    hint: str | None = None
    file: str = ""
    line: int | None = None
    title: str = ""


class Marks(Protocol):
    """The marks of one CI system."""

    def opening(self, key: str, title: str, *, now_s: float, is_collapsed: bool) -> str:
        """Return what begins a fold."""

    def closing(self, key: str, *, now_s: float) -> str:
        """Return what ends the fold that began with `key`."""

    def note(self, note: Note) -> str | None:
        """Return the line that points something out, None where the system has no such mark."""

    def harmless(self, text: str) -> str:
        """Return `text` so that no line of it is taken for a mark."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GitHubMarks:
    """Groups and annotations; files are told from `workspace` on, as the page of a change shows them."""

    workspace: str = ""

    def opening(self, key: str, title: str, *, now_s: float, is_collapsed: bool) -> str:  # noqa: ARG002 - of GitLab
        """Return what begins a group."""
        return f"::group::{_escaped(title, _IN_MESSAGES)}"

    def closing(self, key: str, *, now_s: float) -> str:  # noqa: ARG002 - of GitLab
        """Return what ends a group."""
        return "::endgroup::"

    def note(self, note: Note) -> str:
        """Return an annotation, with its hint on a line of its own."""
        line = "" if note.line is None else str(note.line)
        told = {"file": self._place(note.file), "line": line, "title": note.title}
        properties = ",".join(f"{name}={_escaped(value, _IN_PROPERTIES)}" for name, value in told.items() if value)
        message = "\n".join([note.message, *([f"hint: {note.hint}"] if note.hint else [])])
        return f"::{note.kind} {properties}".rstrip() + f"::{_escaped(message, _IN_MESSAGES)}"

    def harmless(self, text: str) -> str:
        """Part what begins a command of the runner, in either of its two spellings."""
        return _COMMAND.sub(r"\1: ", _CONTROL.sub("", text)).replace(_OLD_COMMAND, "## [")

    def _place(self, file: str) -> str:
        if not file or not self.workspace:
            return file
        relative = os.path.relpath(file, self.workspace)
        return file if relative.startswith("..") else relative


class GitLabMarks:
    """Sections; GitLab points nothing out in a log."""

    def opening(self, key: str, title: str, *, now_s: float, is_collapsed: bool) -> str:
        """Return what begins a section."""
        options = "[collapsed=true]" if is_collapsed else ""
        return f"{_ERASE}section_start:{int(now_s)}:{key}{options}\r{_ERASE}{self.harmless(title)}"

    def closing(self, key: str, *, now_s: float) -> str:
        """Return what ends a section."""
        return f"{_ERASE}section_end:{int(now_s)}:{key}\r{_ERASE}"

    def note(self, note: Note) -> str | None:  # noqa: ARG002 - the other system's
        """Return nothing."""
        return None

    def harmless(self, text: str) -> str:
        """Take out the control characters, without which nothing is a mark."""
        return _CONTROL.sub("", text)


def of(environment: Mapping[str, str]) -> Marks | None:
    """Return the marks of the CI system that `environment` tells of, None where it has none."""
    run = ci.read(environment)
    if run is None:
        return None
    systems: dict[str, Marks] = {
        "github": GitHubMarks(workspace=environment.get("GITHUB_WORKSPACE", "")),
        "gitlab": GitLabMarks(),
    }
    return systems.get(run.name)


def _escaped(text: str, replacements: Mapping[str, str]) -> str:
    return "".join(replacements.get(character, character) for character in text)
