"""Own what a check of this machine's surroundings finds: the value, its text and its JSON; it checks nothing."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal, Self

from builder.console import columns
from builder.errors import BuildImageError, FailedError, InputError, ProblemsError, UnreachableError

VERSION = 1

State = Literal["ok", "warning", "problem"]

_WORST_FIRST = (InputError.exit_code, FailedError.exit_code, UnreachableError.exit_code)
_STATES: tuple[State, ...] = ("problem", "warning", "ok")


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that was looked at; what is not ok has a hint, and a problem the exit code of its class."""

    check: str
    state: State = "ok"
    message: str
    hint: str | None = None
    exit_code: int = 0

    @classmethod
    def of(cls, check: str, error: BuildImageError, *, otherwise: str | None = None) -> Self:
        """Make a problem of an error; `otherwise` helps where the error says nothing of what does."""
        hint = error.hint or otherwise
        if isinstance(error, ProblemsError):
            hint = "; ".join(dict.fromkeys(problem.hint for problem in error.problems if problem.hint)) or hint
        return cls(check=check, state="problem", message=error.message, hint=hint, exit_code=error.exit_code)

    def shown(self, redact: Callable[[str], str]) -> "Finding":
        """Return it without what must not be shown."""
        return replace(self, message=redact(self.message), hint=redact(self.hint) if self.hint else self.hint)


def exit_code(findings: Sequence[Finding]) -> int:
    """Return 0 without a problem, else the code of the worst: what only you can change, what failed, who is away."""
    codes = {finding.exit_code for finding in findings if finding.state == "problem"}
    return next((code for code in _WORST_FIRST if code in codes), 0)


def text(findings: Sequence[Finding]) -> str:
    """Return a line for each finding, and below what is not ok a hint."""
    table = columns([(finding.state, finding.check) for finding in findings]).splitlines()
    width = max(map(len, table)) + 2
    lines = []
    for finding, head in zip(findings, table, strict=True):
        first, *rest = finding.message.splitlines()
        lines += [f"{head:{width}}{first}", *(" " * width + line for line in [*rest, *_hint_lines(finding)])]
    return "\n".join(lines)


def _hint_lines(finding: Finding) -> Iterator[str]:
    if finding.hint:
        yield f"hint: {finding.hint}"


def document(findings: Sequence[Finding]) -> str:
    """Return the findings as JSON."""
    states = {finding.state for finding in findings}
    content = {
        "version": VERSION,
        "result": next(state for state in _STATES if state in states),
        "exit_code": exit_code(findings),
        "findings": [asdict(finding) for finding in findings],
    }
    return json.dumps(content, indent=2, ensure_ascii=False)
