from collections.abc import Iterator
from pathlib import Path

import pytest

# What tells of a CI system, which the tests themselves may run in: messages would be its annotations.
CI_VARIABLES = ("GITHUB_ACTIONS", "GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY", "GITLAB_CI", "JENKINS_URL")

GOLDEN = Path(__file__).parent / "golden"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite-golden", action="store_true", help="write what the tests see as the golden files")
    parser.addoption(
        "--fuzz-requests", type=int, help="send this many requests, made anew, instead of a few known ones"
    )


class Golden:
    """Compares texts with files below tests/golden, or writes these where the option says so."""

    def __init__(self, *, rewrite: bool) -> None:
        self._rewrite = rewrite

    def check(self, text: str, name: str) -> None:
        path = GOLDEN / name
        if self._rewrite:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        assert text == path.read_text()


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    return Golden(rewrite=request.config.getoption("--rewrite-golden"))


@pytest.fixture(scope="session", autouse=True)
def _outside_of_pipelines() -> Iterator[None]:
    """Run every test as on a person's machine, and those of pipelines with what they set themselves."""
    with pytest.MonkeyPatch.context() as patch:
        for name in CI_VARIABLES:
            patch.delenv(name, raising=False)
        yield
