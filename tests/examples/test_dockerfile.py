"""The example's Dockerfile sets what the images of build-image set; tests/engine builds it."""

import re
from pathlib import Path

from builder import render
from tests.builder import data

ROOT = Path(__file__).parent.parent.parent
EXAMPLE = (ROOT / "examples/dockerfile/Dockerfile").read_text()
RENDERED = render.dockerfile(data.image(data.fetched()), version="1")


def test_its_variables_are_those_of_a_rendered_image() -> None:
    (block,) = re.findall(r"^ENV ((?:.*\\\n)*.*)$", EXAMPLE, re.MULTILINE)
    assert dict(setting.split("=", 1) for setting in block.replace("\\\n", "").split()) == render.ENVIRONMENT


def test_it_ends_as_a_rendered_image_does() -> None:
    last = ("COPY --link --from=golden", "USER", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT")
    shown, rendered = ([line for line in text.splitlines() if line.startswith(last)] for text in (EXAMPLE, RENDERED))
    assert shown == rendered
