from datetime import UTC, date, datetime

import pytest

from builder import ci, tags
from builder.errors import InputError
from builder.git import Git
from tests.builder import data

CHECKOUT = Git(sha="c" * 40, short_sha="c" * 7, branch="feature/New", tag="", dirty=False)
RUN = ci.Run(name="github", run="17", branch="main", tag="", sha="c" * 40, change="")
LOCK = data.lock(data.fetched("a-model"))
NOW = datetime(2026, 11, 23, 8, 5, 9, tzinfo=UTC)
NAMES = tags.Names(lock=LOCK, git=CHECKOUT, run=RUN, now=NOW, words={"channel": "beta"})
BARE = tags.Names(lock=LOCK, now=NOW)
NOT_A_TAG = "is not a tag: use up to 128 letters, digits, `_`, `.` and `-`, not starting with `.` or `-`"


@pytest.mark.parametrize(
    ("template", "tag"),
    [
        ("latest", "latest"),
        ("{{ git.sha }}", "c" * 40),
        ("{{ git.branch | slug }}-{{ git.short_sha }}", "feature-new-ccccccc"),
        ("v{{ lock.digest }}", f"v{LOCK.digest}"),
        ("{{ models['a-model'].short_revision }}", data.COMMIT[:7]),
        ("{{ ci.branch }}.{{ ci.run }}", "main.17"),
        ("{{ date }}", "2026-11-23"),
        ("{{ date.strftime('%Y.%m') }}", "2026.11"),
        ("{{ timestamp }}", "20261123T080509Z"),
        ("{{ vars.channel }}{% if git.dirty %}-dirty{% endif %}", "beta"),
    ],
)
def test_a_tag_template_is_filled_in(template: str, tag: str) -> None:
    assert NAMES.fill(template) == tag


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ git.sha }}", "`{{ git.sha }}` can't be filled in: the manifest is not in a git checkout with a commit"),
        (
            "{{ ci.run }}",
            "`{{ ci.run }}` can't be filled in: no GitHub, GitLab or Jenkins pipeline started this run",
        ),
        ("{{ lock.x }}", "`{{ lock.x }}` can't be filled in: 'builder.lock.Lock object' has no attribute 'x'"),
        ("{{ models.b }}", "`{{ models.b }}` can't be filled in: 'dict object' has no attribute 'b'"),
        ("{{ vars.b }}", "`{{ vars.b }}` can't be filled in: 'dict object' has no attribute 'b'"),
        ("{{ lock.digest", "`{{ lock.digest` is not a template: "),
        ("{{ 1 / 0 }}", "`{{ 1 / 0 }}` is not a template: division by zero"),
        ("{{ lock.digest + 1 }}", "`{{ lock.digest + 1 }}` is not a template: "),
        ("{% include 'x' %}", "`{% include 'x' %}` is not a template: "),
        ("{{ lock.digest }}/x", f"`{LOCK.digest}/x` {NOT_A_TAG}"),
        ("{{ '' }}", f"`` {NOT_A_TAG}"),
    ],
)
def test_a_tag_that_can_t_be_made_says_why(template: str, message: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        BARE.fill(template)
    assert str(caught.value).startswith(message)


def test_what_templates_ask_for_is_known() -> None:
    assert tags.names_in(["{{ git.sha }}-{{ lock.digest }}", "latest", "{{ date"]) == {"git", "lock"}


def test_a_run_that_is_to_be_repeatable_has_the_time_that_it_names() -> None:
    assert tags.moment({"SOURCE_DATE_EPOCH": "1704067200"}) == datetime(2024, 1, 1, tzinfo=UTC)


def test_any_other_run_has_the_time_of_now() -> None:
    assert tags.moment({}).date() >= date(2026, 11, 1)


@pytest.mark.parametrize("text", ["yesterday", "99999999999999999999"])
def test_a_time_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InputError) as caught:
        tags.moment({"SOURCE_DATE_EPOCH": text})
    assert caught.value.message == f"SOURCE_DATE_EPOCH is `{text}`, which is no time"
