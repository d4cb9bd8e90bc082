from collections.abc import Mapping

import pytest

from builder import ci

SHA = "c" * 40
GITHUB = {"GITHUB_ACTIONS": "true", "GITHUB_RUN_NUMBER": "17", "GITHUB_SHA": SHA}
GITLAB = {"GITLAB_CI": "true", "CI_PIPELINE_IID": "17", "CI_COMMIT_SHA": SHA}
JENKINS = {"JENKINS_URL": "https://ci.example.com/", "BUILD_NUMBER": "17", "GIT_COMMIT": SHA}


def run(name: str, *, branch: str = "", tag: str = "", change: str = "") -> ci.Run:
    return ci.Run(name=name, run="17", branch=branch, tag=tag, sha=SHA, change=change)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        (
            {**GITHUB, "GITHUB_REF": "refs/heads/main", "GITHUB_REF_NAME": "main", "GITHUB_REF_TYPE": "branch"},
            run("github", branch="main"),
        ),
        (
            {**GITHUB, "GITHUB_REF": "refs/tags/v1", "GITHUB_REF_NAME": "v1", "GITHUB_REF_TYPE": "tag"},
            run("github", tag="v1"),
        ),
        (
            {
                **GITHUB,
                "GITHUB_REF": "refs/pull/5/merge",
                "GITHUB_REF_NAME": "5/merge",
                "GITHUB_REF_TYPE": "branch",
                "GITHUB_HEAD_REF": "feature/x",
            },
            run("github", branch="feature/x", change="5"),
        ),
        ({**GITLAB, "CI_COMMIT_BRANCH": "main"}, run("gitlab", branch="main")),
        ({**GITLAB, "CI_COMMIT_TAG": "v1"}, run("gitlab", tag="v1")),
        (
            {**GITLAB, "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "feature/x", "CI_MERGE_REQUEST_IID": "5"},
            run("gitlab", branch="feature/x", change="5"),
        ),
        ({**JENKINS, "BRANCH_NAME": "main"}, run("jenkins", branch="main")),
        ({**JENKINS, "BRANCH_NAME": "v1", "TAG_NAME": "v1"}, run("jenkins", branch="v1", tag="v1")),
        (
            {**JENKINS, "BRANCH_NAME": "PR-5", "CHANGE_BRANCH": "feature/x", "CHANGE_ID": "5"},
            run("jenkins", branch="feature/x", change="5"),
        ),
    ],
)
def test_a_run_is_told_in_one_set_of_names(environment: Mapping[str, str], expected: ci.Run) -> None:
    assert ci.read(environment) == expected


@pytest.mark.parametrize("environment", [{}, {"CI": "true"}, {"GITHUB_SHA": SHA}])
def test_outside_of_a_known_system_there_is_no_run(environment: Mapping[str, str]) -> None:
    assert ci.read(environment) is None
