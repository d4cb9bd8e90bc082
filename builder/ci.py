"""Own what a CI system says of the run that it started, under one set of names; it writes nothing back."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_GITHUB_CHANGE = re.compile(r"refs/pull/(\d+)/")


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One run of a pipeline, as tag templates use it (`{{ ci.run }}`); what the system does not say is empty.

    `run` counts up within the project. `change` is the number of the pull or merge request, and `branch` its source.
    """

    name: str
    run: str
    branch: str
    tag: str
    sha: str
    change: str


def read(environment: Mapping[str, str]) -> Run | None:
    """Return the run that `environment` tells of, None outside of the systems that are known.

    Sources: the documentation of GitHub Actions (default environment variables), GitLab (predefined CI/CD variables)
    and Jenkins (environment variables of a build).
    """
    if environment.get("GITHUB_ACTIONS"):
        return _github(environment)
    if environment.get("GITLAB_CI"):
        return _gitlab(environment)
    return _jenkins(environment) if environment.get("JENKINS_URL") else None


def _github(environment: Mapping[str, str]) -> Run:
    change = _GITHUB_CHANGE.match(environment.get("GITHUB_REF", ""))
    is_tag = environment.get("GITHUB_REF_TYPE") == "tag"
    reference = environment.get("GITHUB_REF_NAME", "")
    return Run(
        name="github",
        run=environment.get("GITHUB_RUN_NUMBER", ""),
        branch="" if is_tag else environment.get("GITHUB_HEAD_REF") or reference,
        tag=reference if is_tag else "",
        sha=environment.get("GITHUB_SHA", ""),
        change=change[1] if change else "",
    )


def _gitlab(environment: Mapping[str, str]) -> Run:
    source = environment.get("CI_MERGE_REQUEST_SOURCE_BRANCH_NAME")
    return Run(
        name="gitlab",
        run=environment.get("CI_PIPELINE_IID", ""),
        branch=source or environment.get("CI_COMMIT_BRANCH", ""),
        tag=environment.get("CI_COMMIT_TAG", ""),
        sha=environment.get("CI_COMMIT_SHA", ""),
        change=environment.get("CI_MERGE_REQUEST_IID", ""),
    )


def _jenkins(environment: Mapping[str, str]) -> Run:
    return Run(
        name="jenkins",
        run=environment.get("BUILD_NUMBER", ""),
        branch=environment.get("CHANGE_BRANCH") or environment.get("BRANCH_NAME", ""),
        tag=environment.get("TAG_NAME", ""),
        sha=environment.get("GIT_COMMIT", ""),
        change=environment.get("CHANGE_ID", ""),
    )
