"""Run build-image as a pipeline asks for it: action.yml and templates/build-image.yml set INPUT_ variables.

Their values are taken as they are, and reach no shell. Arguments of this program are flags that the pipeline's own
file adds.
"""

import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

EXIT_INPUT = 2
_SWITCHES = {"push": "--push", "locked": "--locked"}


class WrongInputError(Exception):
    """An input that can't be meant."""


def command(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield the flags that the inputs stand for; what is empty is left to build-image."""
    inputs = {
        name.removeprefix("INPUT_").lower(): value.strip()
        for name, value in environment.items()
        if name.startswith("INPUT_")
    }
    for name in ("models", "jobs"):
        if inputs.get(name):
            yield from (f"--{name}", inputs[name])
    for image in inputs.get("image", "").split():
        yield from ("--image", image)
    for name, flag in _SWITCHES.items():
        if inputs.get(name, "false") not in {"true", "false", ""}:
            raise WrongInputError(f"the input `{name}` is `{inputs[name]}`, and may be `true` or `false`")
        if inputs.get(name) == "true":
            yield flag
    try:
        yield from shlex.split(inputs.get("args", ""))
    except ValueError as error:
        raise WrongInputError(f"the input `args` is not what a shell would take: {error}") from error


def main() -> None:
    """Become build-image."""
    try:
        flags = [*command(os.environ), *sys.argv[1:]]
    except WrongInputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_INPUT)
    program = str(Path(sys.executable).with_name("build-image"))
    os.execv(program, [program, *flags])  # noqa: S606 - no shell reads an input


if __name__ == "__main__":
    main()
