"""`build-image doctor` as a person runs it, with a stand-in Hub and Debian's registry, and without an engine."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from builder import checks, doctor
from builder.console import Console
from builder.engine import START_HINT
from builder.finding import Finding
from builder.settings import Settings
from tests.engine import registry as registries
from tests.engine.registry import PASSWORD, USER, Registry
from tests.runtime.server import free_port
from tests.support import lookalikes
from tests.support import project as projects
from tests.support.hub_server import ACCOUNT, WHO_AM_I, Failure, HubServer, Silence
from tests.support.project import Project

LOGIN = {"REGISTRY_USER": USER, "REGISTRY_PASSWORD": PASSWORD}
MEND = "mend the certificates first, then run `build-image doctor` again"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with registries.running(tmp_path_factory.mktemp("registry")) as started:
        yield started


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    made = projects.make(tmp_path)
    with made.hub:
        yield made


def push_to(project: Project, *repositories: str) -> None:
    """Have the manifest push an image to each repository."""
    manifest = json.loads((project.folder / "models.yaml").read_text())
    manifest["images"] = {
        f"i{number}": {"models": ["embedder"], "repository": repository}
        for number, repository in enumerate(repositories)
    }
    (project.folder / "models.yaml").write_text(json.dumps(manifest))


def found(project: Project, *flags: str, **variables: str) -> tuple[int, list[dict[str, Any]]]:
    """Run the command, and return its exit code and its findings."""
    code, out, err = project.run("doctor", "--format", "json", *flags, **variables)
    assert err == ""
    read = json.loads(out)
    assert read["exit_code"] == code
    assert [each for each in read["findings"] if (each["state"] == "ok") != (each["hint"] is None)] == []
    return code, read["findings"]


def of(check: str, findings: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(each["state"], each["message"]) for each in findings if each["check"] == check]


def test_everything_that_can_be_looked_at_without_an_engine_is(project: Project, registry: Registry) -> None:
    push_to(project, f"{registry.host}/search/one", f"{registry.host}/search/two")
    project.hub.token = "hf_secret"
    assert project.run("lock", HF_TOKEN="hf_secret")[0] == 0
    code, out, err = project.run(
        "doctor", HF_TOKEN="hf_secret", **LOGIN, SSL_CERT_FILE="", REQUESTS_CA_BUNDLE="", PIP_CERT=""
    )
    assert (code, err) == (4, "")
    assert out.splitlines() == [
        "problem  engine        cannot connect to the Docker Engine: No such file or directory",
        f"                       hint: {START_HINT}",
        "ok       manifest      `models.yaml` is locked; models: 1, images: 2",
        f"ok       registry      `{registry.host}` lets `{USER}` push to `search/one`",
        f"ok       registry      `{registry.host}` lets `{USER}` push to `search/two`",
        f"ok       Hub           `{project.hub.endpoint}` answers, and knows the token as that of `{ACCOUNT}`",
        "ok       certificates  none are named: those of the system are trusted",
        f"ok       clock         within 60 s of `{registry.host}`, `{project.hub.endpoint}`",
    ]
    assert [request.path for request in project.hub.requests if request.path == WHO_AM_I] == [WHO_AM_I]


def test_without_a_manifest_only_what_every_one_needs_is_looked_at(project: Project) -> None:
    (project.folder / "models.yaml").unlink()
    _, findings = found(project)
    assert of("manifest", findings) == [("ok", "there is no `models.yaml` here, so none is looked at")]
    assert of("registry", findings) == [("ok", "no manifest says where to push to")]
    code, findings = found(project, "--models", "mine.yaml")
    assert (code, of("manifest", findings)) == (2, [("problem", "there is no manifest at `mine.yaml`")])


def test_the_manifest_before_the_command_counts_too(project: Project) -> None:
    shutil.move(project.folder / "models.yaml", project.folder / "other.yaml")
    _, out, _ = project.run("--models", "other.yaml", "doctor", "--format", "json")
    (told,) = of("manifest", json.loads(out)["findings"])
    assert told[1].startswith("`other.lock` is not what `other.yaml` wants: models.embedder: added")


def test_a_manifest_that_is_not_locked_is_a_warning_and_no_hub_is_asked_for_it(project: Project) -> None:
    _, findings = found(project)
    (told,) = [each for each in findings if each["check"] == "manifest"]
    assert (told["state"], told["message"], told["hint"]) == (
        "warning",
        "`models.lock` is not what `models.yaml` wants: models.embedder: added; models.reranker: added",
        "run `build-image lock --models models.yaml` and commit `models.lock`",
    )
    assert [request.path for request in project.hub.requests if request.path.startswith("/api/models/")] == []


def test_a_local_model_that_has_changed_since_is_a_warning(project: Project) -> None:
    lookalikes.write_reranker(project.folder / "model")
    content = {"version": 1, "models": {"m": {"task": "reranker", "path": "model"}}, "images": {"i": {"models": ["m"]}}}
    (project.folder / "models.yaml").write_text(json.dumps(content))
    assert project.run("lock")[0] == 0
    (project.folder / "model/README.md").write_text("another")
    _, findings = found(project)
    ((state, message),) = of("manifest", findings)
    assert (state, "`models.lock` is not what `models.yaml` wants: models.m" in message) == ("warning", True)


def test_problems_of_the_manifest_are_told_and_stop_no_other_look(project: Project) -> None:
    (project.folder / "models.yaml").write_text("version: 1\nmodels: {m: {task: rerank, path: m}}\nimages: {}\n")
    code, findings = found(project)
    (told,) = of("manifest", findings)
    assert (code, told[0], len(told[1].splitlines())) == (2, "problem", 3)
    assert of("Hub", findings)[0][0] == "ok"


@pytest.mark.parametrize(
    ("login", "problem"),
    [
        (
            {"REGISTRY_USER": USER, "REGISTRY_PASSWORD": "wrong"},
            f"does not let `{USER}` push to `app`: authentication required",
        ),
        ({}, "wants a login to push to `app`"),
    ],
)
def test_a_login_that_may_not_push_is_a_problem_of_yours(
    project: Project, registry: Registry, login: dict[str, str], problem: str
) -> None:
    push_to(project, f"{registry.host}/app")
    code, findings = found(project, **login)
    assert (code, of("registry", findings)) == (2, [("problem", f"`{registry.host}` {problem}")])


def test_a_registry_that_is_away_spoils_no_other(project: Project, registry: Registry) -> None:
    away = f"127.0.0.1:{free_port()}"
    push_to(project, f"{away}/app", f"{registry.host}/app")
    _, findings = found(project, DOCKER_CONFIG=str(registry.config(project.folder)))
    assert of("registry", findings) == [
        ("problem", f"the registry `{away}` can't be reached: Connection refused"),
        ("ok", f"`{registry.host}` lets `{USER}` push to `app`"),
    ]


def test_one_login_for_two_registries_is_a_problem(project: Project) -> None:
    push_to(project, "a.example.com/app", "b.example.com/app")
    code, findings = found(project, **LOGIN)
    told = ("problem", "REGISTRY_PASSWORD is for one registry, and these are a.example.com, b.example.com")
    assert (code, of("registry", findings)) == (2, [told, told])


def test_every_mirror_is_asked_and_the_first_alone_gets_the_token(project: Project, tmp_path: Path) -> None:
    project.hub.token = "hf_secret"
    with HubServer(tmp_path) as mirror:
        away = f"http://127.0.0.1:{free_port()}"
        endpoints = f"{project.hub.endpoint},{mirror.endpoint.replace('127.0.0.1', 'localhost')},{away}"
        _, findings = found(project, HF_TOKEN="hf_secret", HF_ENDPOINT=endpoints)
        assert [request.authorized for request in mirror.requests if request.path == WHO_AM_I] == [False]
    first, second, third = of("Hub", findings)
    assert (first[0], second) == (
        "ok",
        ("ok", f"`http://localhost:{mirror.port}` answers; the token is for the first Hub in HF_ENDPOINT alone"),
    )
    assert (third[0], third[1].startswith(f"the Hub at `{away}` can't be reached: ")) == ("problem", True)


def test_a_token_that_the_hub_does_not_know_is_a_problem_and_is_not_shown(project: Project) -> None:
    project.hub.token = "hf_secret"
    code, findings = found(project, HF_TOKEN="hf_revoked")
    assert (code, of("Hub", findings)) == (2, [("problem", f"`{project.hub.endpoint}` does not know the token")])
    assert "hf_revoked" not in json.dumps(findings)


@pytest.mark.parametrize(
    ("fault", "state", "told"),
    [
        (Failure(status=503), "problem", "the Hub at `{0}` answers HTTP 503"),
        (Failure(status=200), "problem", "what answers at `{0}` is not a Hugging Face Hub"),
        (Failure(status=404), "ok", "`{0}` answers, but does not tell whose the token is"),
        (Failure(status=429), "ok", "`{0}` answers, but does not tell whose the token is"),
    ],
)
def test_what_a_hub_answers_is_told(project: Project, fault: Failure, state: str, told: str) -> None:
    project.hub.inject(fault, path=WHO_AM_I)
    _, findings = found(project, HF_TOKEN="hf_secret")
    assert of("Hub", findings) == [(state, told.format(project.hub.endpoint))]


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"HF_ALLOW_REMOTE_MODELS": "false"}, ("ok", "not asked, since HF_ALLOW_REMOTE_MODELS is `false`")),
        ({"HF_ALLOW_REMOTE_MODELS": "maybe"}, ("problem", "HF_ALLOW_REMOTE_MODELS is `maybe`")),
        ({"HF_HUB_OFFLINE": "1"}, ("warning", "not asked, since HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set")),
    ],
)
def test_a_hub_that_may_not_be_asked_is_not(project: Project, variables: dict[str, str], told: tuple[str, str]) -> None:
    _, findings = found(project, **variables)
    assert (of("Hub", findings), project.hub.requests) == ([told], [])


def test_certificates_that_are_none_are_told_and_nobody_is_asked_without_them(project: Project) -> None:
    (project.folder / "ca.pem").touch()
    code, findings = found(project, "--ca-bundle", "ca.pem")
    assert (code, of("certificates", findings), of("Hub", findings)) == (
        2,
        [("problem", "the certificate bundle `ca.pem` has no certificate in PEM")],
        [],
    )
    assert [(each["state"], each["hint"]) for each in findings if each["check"] == "network"] == [("warning", MEND)]


def test_certificates_are_trusted_and_their_end_is_told(tmp_path: Path, certificate: Path) -> None:
    made = projects.make(tmp_path / "project")
    with HubServer(tmp_path, certificate=certificate) as hub:
        flags = ("--ca-bundle", str(certificate))
        _, findings = found(made, *flags, HF_ENDPOINT=hub.endpoint)
    made.hub.close()
    assert of("Hub", findings)[0][0] == "ok"
    assert of("certificates", findings) == [("warning", f"in `{certificate}`, expires within two weeks: hub")]


@pytest.mark.parametrize(
    ("ends", "state", "message"),
    [
        ([("a", 2e9)], "ok", "here has 1 authorities"),
        ([("a", 2e9), ("b", 1.0)], "ok", "here has 2 authorities; expired long ago: 1"),
        ([("a", 2e9), ("b", 1.7e9 - 1)], "warning", "in here, expired lately: b"),
        ([("a", 2e9), ("a", 1.7e9 + 1)], "warning", "in here, expires within two weeks: a"),
        ([("a", 1.0), ("b", 1.0)], "problem", "every certificate in here has expired: a, b"),
    ],
)
def test_certificates_that_expired_are_told(ends: list[tuple[str, float]], state: str, message: str) -> None:
    expiry = checks.expiry("here", ends, now_s=1.7e9)
    assert (expiry.state, expiry.message, expiry.hint is None) == (state, message, state == "ok")


@pytest.mark.parametrize(
    ("ahead_s", "told"), [(-7300, "2 h ahead of"), (150, "2 min behind"), (870_000, "10 d behind")]
)
def test_a_wrong_clock_is_a_problem(project: Project, ahead_s: int, told: str) -> None:
    project.hub.ahead_s = ahead_s
    code, findings = found(project)
    (clock,) = of("clock", findings)
    message = f"this machine is {told} `{project.hub.endpoint}`: certificates and tokens are refused"
    assert (code, clock) == (2, ("problem", message))


def test_a_clock_that_others_agree_with_is_not_the_wrong_one() -> None:
    judged = doctor.clock({"`registry.example.com`": 0.4, "`https://hub.example.com`": -700.0})
    assert (judged.state, judged.message) == ("warning", "this machine is 11 min behind `https://hub.example.com`")
    assert str(judged.hint).startswith("this machine agrees with `registry.example.com`: ")


@pytest.mark.parametrize("here", ["the engine", "`127.0.0.1:5000`", "`localhost:5000`", "`[::1]:5000`"])
def test_who_may_have_the_very_same_clock_proves_nothing_by_agreeing(here: str) -> None:
    judged = doctor.clock({here: 0.0, "`https://hub.example.com`": -700.0})
    assert (judged.state, judged.exit_code) == ("problem", 2)


def test_a_clock_that_nobody_can_be_compared_with_is_a_warning(project: Project) -> None:
    _, findings = found(project, HF_ALLOW_REMOTE_MODELS="false")
    assert of("clock", findings) == [("warning", "nobody answered whom it could be compared with")]


def test_whoever_is_silent_is_given_up_on_and_spoils_no_other(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.hub.inject(Silence(), path=WHO_AM_I)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{project.folder}/nothing.sock")
    monkeypatch.setenv("HF_ENDPOINT", project.hub.endpoint)
    monkeypatch.chdir(project.folder)
    settings = Settings(models=Path("models.yaml"), version="1", environment=project.environment())
    subject = checks.Subject(settings=settings, has_manifest=True, console=Console(out=StringIO(), err=StringIO()))
    told = doctor.examine(subject, limit_s=3)
    (hub,) = [each for each in told if each.check == "Hub"]
    assert hub == replace(
        hub, state="problem", message=f"`{project.hub.endpoint}` does not answer within 3 s", exit_code=4
    )
    assert [each.state for each in told if each.check == "manifest"] == ["warning"]


def test_each_request_is_given_up_on_by_itself(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.hub.inject(Silence(), path=WHO_AM_I)
    monkeypatch.setenv("HF_ENDPOINT", project.hub.endpoint)
    settings = Settings(models=Path("models.yaml"), version="1", environment=project.environment())
    console = Console(out=StringIO(), err=StringIO())
    subject = checks.Subject(settings=settings, has_manifest=False, console=console, timeout_s=1)
    (told,) = [each for each in doctor.examine(subject, limit_s=20) if each.check == "Hub"]
    assert told == Finding(
        check="Hub",
        state="problem",
        message=f"the Hub at `{project.hub.endpoint}` can't be reached: timed out",
        hint=told.hint,
        exit_code=4,
    )
