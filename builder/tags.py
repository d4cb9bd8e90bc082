"""Own what tag templates may say: git, the lock, models, the CI system's run, the day and the manifest's own words.

It reads none of these itself.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from builder import ci, reference, render
from builder.errors import InputError
from builder.git import Git
from builder.lock import Lock

# Names whose values come from outside of manifest and lock: the next run with the same two may get another tag.
FLEETING = frozenset({"ci", "date", "git", "timestamp"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Names:
    """Everything that a tag may be made of; `words` are the manifest's `vars`."""

    lock: Lock
    git: Git | None = None
    run: ci.Run | None = None
    now: datetime
    words: Mapping[str, str] = field(default_factory=dict)

    def fill(self, template: str) -> str:
        """Fill in a template and check that it gives a tag; raises ValueError that says what is wrong with it."""
        wanted = render.variables(template)
        for name, missing in (("git", self._missing_git()), ("ci", self._missing_run())):
            if name in wanted and missing:
                msg = f"`{template}` can't be filled in: {missing}"
                raise ValueError(msg)
        return reference.check_tag(render.tag(template, names=self._values()))

    def _values(self) -> dict[str, object]:
        return {
            "git": self.git,
            "lock": self.lock,
            "models": self.lock.models,
            "ci": self.run,
            "date": self.now.date(),
            "timestamp": f"{self.now:%Y%m%dT%H%M%SZ}",
            "vars": self.words,
        }

    def _missing_git(self) -> str:
        return "" if self.git else "the manifest is not in a git checkout with a commit"

    def _missing_run(self) -> str:
        return "" if self.run else "no GitHub, GitLab or Jenkins pipeline started this run"


def names_in(templates: Iterable[str]) -> set[str]:
    """Return the names that templates ask for."""
    return {name for template in templates for name in render.variables(template)}


def moment(environment: Mapping[str, str]) -> datetime:
    """Return the time of this run in UTC: the one that is given, or now; raises InputError."""
    return given_moment(environment) or datetime.now(UTC)


def given_moment(environment: Mapping[str, str]) -> datetime | None:
    """Return the time in SOURCE_DATE_EPOCH, which makes a build repeatable, None where it is not set.

    Source: the specification of SOURCE_DATE_EPOCH, reproducible-builds.org. Raises InputError.
    """
    epoch = environment.get("SOURCE_DATE_EPOCH", "")
    try:
        return datetime.fromtimestamp(int(epoch), UTC) if epoch else None
    except (ValueError, OverflowError, OSError) as error:
        hint = "set it to seconds since 1970-01-01T00:00:00Z, or unset it"
        raise InputError(f"SOURCE_DATE_EPOCH is `{epoch}`, which is no time", hint=hint) from error
