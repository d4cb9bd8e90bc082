"""Own the error tree: what went wrong, the exit code it ends with and the hint that helps.

Branches differ by what the caller can do about it:

    BuildImageError
    |-- InputError            2  change what you gave: manifest, flags, environment
    |   `-- ProblemsError        several problems, each with its place
    |-- FailedError           1  what was asked for was tried and failed
    |   |-- AbsentError          the engine has nothing of that name
    |   |-- BuildFailedError     a step of the Dockerfile
    |   |-- SmokeFailedError     a check of the built image
    |   `-- GateFailedError      a limit of the manifest that the image does not keep to
    |-- UnreachableError      4  a service does not answer: try again, or repair it
    `-- InternalError         3  a broken invariant of ours

An interrupt (Ctrl-C, SIGTERM) is KeyboardInterrupt and ends with 130. An output that nobody reads any more is
OutputClosedError and ends with 141; like an interrupt it is no `Exception`, since there is nobody to tell of it.
"""

from dataclasses import dataclass

EXIT_INTERRUPTED = 130
EXIT_OUTPUT_CLOSED = 141  # of a program that SIGPIPE ends, in a shell


class BuildImageError(Exception):
    """What went wrong in one line, and in `hint` the exact command or edit that helps."""

    exit_code = 3

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class InputError(BuildImageError):
    """The manifest, a flag or the environment is wrong."""

    exit_code = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One thing that is wrong in a file: where it is, and what helps."""

    file: str
    line: int | None = None
    path: str = ""
    message: str
    hint: str | None = None

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: `{self.path}`: {self.message}" if self.path else f"{place}: {self.message}"


class ProblemsError(InputError):
    """Every problem of one input, found in one go."""

    def __init__(self, problems: list[Problem], *, hint: str | None = None) -> None:
        super().__init__("\n".join(map(str, problems)), hint=hint)
        self.problems = problems


class FailedError(BuildImageError):
    """What was asked for was tried and failed."""

    exit_code = 1


class AbsentError(FailedError):
    """What the engine was asked about is not there."""


class BuildFailedError(FailedError):
    """A step of the Dockerfile failed; `step` is its name and `output` its last lines."""

    def __init__(self, message: str, *, step: str = "", output: tuple[str, ...] = (), hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.step = step
        self.output = output


class SmokeFailedError(FailedError):
    """The built image does not do what it should; `output` is its last log lines."""

    def __init__(self, message: str, *, output: tuple[str, ...] = (), hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.output = output


class GateFailedError(FailedError):
    """An image does not keep to a limit of the manifest's `gates`, or several; `message` has a line for each."""


class UnreachableError(BuildImageError):
    """A service that is needed does not answer."""

    exit_code = 4


class InternalError(BuildImageError):
    """An invariant of this program is broken; never the user's fault."""

    exit_code = 3


class OutputClosedError(BaseException):
    """Whoever read stdout or stderr has gone."""


def system_reason(error: BaseException) -> str:
    """Find the operating system's reason below the texts of libraries, empty where it gave none."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, OSError) and found.strerror:
            return found.strerror
        found = found.__cause__ or found.__context__
    return ""
