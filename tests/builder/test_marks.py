import pytest

from builder import marks
from builder.marks import GitHubMarks, GitLabMarks, Note

GITHUB, GITLAB = GitHubMarks(workspace="/checkout"), GitLabMarks()


def test_each_system_is_known_by_its_variables() -> None:
    assert marks.of({}) is None
    assert marks.of({"JENKINS_URL": "http://ci"}) is None
    assert isinstance(marks.of({"GITLAB_CI": "true"}), GitLabMarks)
    assert marks.of({"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": "/checkout"}) == GITHUB


def test_github_folds_by_commands() -> None:
    assert GITHUB.opening("key", "a%\nb", now_s=1.5, is_collapsed=True) == "::group::a%25%0Ab"
    assert GITHUB.closing("key", now_s=2.5) == "::endgroup::"


def test_gitlab_folds_by_sections_with_their_times() -> None:
    assert GITLAB.opening("key", "a\x1b[0Kb", now_s=1.5, is_collapsed=True) == (
        "\x1b[0Ksection_start:1:key[collapsed=true]\r\x1b[0Ka[0Kb"
    )
    assert GITLAB.opening("key", "a", now_s=1.5, is_collapsed=False) == "\x1b[0Ksection_start:1:key\r\x1b[0Ka"
    assert GITLAB.closing("key", now_s=2.5) == "\x1b[0Ksection_end:2:key\r\x1b[0K"


@pytest.mark.parametrize(
    ("note", "line"),
    [
        (Note(kind="error", message="wrong"), "::error::wrong"),
        (Note(kind="warning", message="100%\r\nsure", hint="a::b"), "::warning::100%25%0D%0Asure%0Ahint: a::b"),
        (
            Note(kind="error", message="x", file="/checkout/a,b/m:1.yaml", line=3),
            "::error file=a%2Cb/m%3A1.yaml,line=3::x",
        ),
        (Note(kind="error", message="x", file="/elsewhere/m.yaml"), "::error file=/elsewhere/m.yaml::x"),
        (Note(kind="error", message="::set-env::", title="a,b\n::x"), "::error title=a%2Cb%0A%3A%3Ax::::set-env::"),
    ],
)
def test_github_points_out_a_place_and_nothing_in_it_is_a_command(note: Note, line: str) -> None:
    assert GITHUB.note(note) == line


def test_gitlab_points_nothing_out() -> None:
    assert GITLAB.note(Note(kind="error", message="x")) is None


@pytest.mark.parametrize(
    ("text", "harmless"),
    [
        ("::error::x", ": :error::x"),
        ("  \t::add-mask::x", "  \t: :add-mask::x"),
        ("a\n::stop-commands::x\nb", "a\n: :stop-commands::x\nb"),
        ("a ::b", "a ::b"),
        ("| ##[error]x", "| ## [error]x"),
        ("a\r::error::x", "a::error::x"),
        ("\x1b[31m::error::x", "[31m::error::x"),
    ],
)
def test_no_other_line_is_a_command_of_github(text: str, harmless: str) -> None:
    assert GITHUB.harmless(text) == harmless


def test_no_other_line_is_a_section_of_gitlab() -> None:
    assert GITLAB.harmless("\x1b[0Ksection_end:1:key\r\x1b[0Kx\n\ty") == "[0Ksection_end:1:key[0Kx\n\ty"
