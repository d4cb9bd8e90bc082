import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from builder import bundle, manifest, plan, tags
from builder.errors import InputError, ProblemsError
from builder.git import Git, Origin
from builder.manifest import Manifest
from tests.builder import data
from tests.builder.optimized import OPTIMIZATION

MODELS = "version: 1\nmodels: {a: {task: reranker, repo: x/a}, b: {task: reranker, repo: x/b}}\nimages:\n"
LOCK = data.lock(data.fetched("a"), data.fetched("b"))
SUMS = f"{'c' * 64}  config.json\n{'e' * 64}  onnx/model.onnx\n{'a' * 64}  tokenizer.json\n"
FILES_DIGEST = f"sha256:{hashlib.sha256(SUMS.encode()).hexdigest()}"
CHECKOUT = Git(sha="c" * 40, short_sha="c" * 7, branch="main", tag="", dirty=False)


def read(images: str) -> Manifest:
    return manifest.parse(MODELS + images, file=Path("models.yaml"), environment={})


def make(images: str, git: Git | None = CHECKOUT) -> tuple[plan.ImagePlan, ...]:
    manifest_ = read(images)
    names = tags.Names(lock=LOCK, git=git, now=datetime(2026, 11, 23, tzinfo=UTC), words=manifest_.vars)
    return plan.make(manifest_, manifest_.images, names=names).images


def problems(images: str, git: Git | None = CHECKOUT) -> list[str]:
    with pytest.raises(ProblemsError) as caught:
        make(images, git)
    return [str(problem) for problem in caught.value.problems]


def test_an_image_has_its_models_in_the_manifest_s_order() -> None:
    (image,) = make("  i: {models: [b, a]}\n")
    assert [model.name for model in image.models] == ["b", "a"]


def test_an_image_of_weights_has_the_originals_of_models_that_servers_have_optimised() -> None:
    optimized = {name: replace(model, optimization=OPTIMIZATION) for name, model in LOCK.models.items()}
    read_ = read("  one: {models: [a]}\n  two: {models: [a], kind: models}\n")
    names = tags.Names(lock=replace(LOCK, models=optimized), git=None, now=datetime(2026, 11, 23, tzinfo=UTC), words={})
    server, weights = plan.make(read_, read_.images, names=names).images
    assert ([model.name for model in server.optimized], weights.optimized) == (["a"], ())
    assert server.labels["build-image.model.a"].endswith(f" optimized:{OPTIMIZATION.digest}")
    assert "optimized" not in weights.labels["build-image.model.a"]


def test_an_image_is_called_by_its_own_name_unless_a_repository_is_given() -> None:
    first, second = make("  one: {models: [a]}\n  two: {models: [b], repository: host:5000/team/two, tags: [x, y]}\n")
    assert first.references == ("one:latest",)
    assert second.references == ("host:5000/team/two:x", "host:5000/team/two:y")


def test_tags_are_filled_in_and_named_once() -> None:
    (image,) = make("  i: {models: [a], tags: ['{{ git.sha }}', '{{ git.sha }}', 'l-{{ lock.digest }}']}\n")
    assert image.references == (f"i:{'c' * 40}", f"i:l-{LOCK.digest}")


def test_every_tag_that_can_t_be_made_is_a_problem_on_its_line() -> None:
    images = "  i: {models: [a], tags: ['{{ git.sha }}', '{{ nope }}',\n    '{{ lock.digest }}/x']}\n"
    assert problems(images, git=None) == [
        "models.yaml:4: `images.i.tags[0]`: `{{ git.sha }}` can't be filled in: the manifest is not in a git checkout"
        " with a commit",
        "models.yaml:4: `images.i.tags[1]`: `{{ nope }}` can't be filled in: 'nope' is undefined",
        f"models.yaml:5: `images.i.tags[2]`: `{LOCK.digest}/x` is not a tag: use up to 128 letters, digits, `_`, `.`"
        " and `-`, not starting with `.` or `-`",
    ]


def test_two_images_never_take_one_name() -> None:
    images = "  one: {models: [a], repository: app}\n  two: {models: [b], repository: app}\n"
    assert problems(images) == [
        "models.yaml:5: `images.two.tags`: `app:latest` is already the name of the image `one`",
    ]


def test_two_spellings_of_one_name_are_one_name() -> None:
    images = "  one: {models: [a], repository: x/y}\n  two: {models: [b],\n    repository: docker.io/x/y}\n"
    assert problems(images) == [
        "models.yaml:5: `images.two.tags`: `docker.io/x/y:latest` is already the name of the image `one`,"
        " which spells it `x/y:latest`",
    ]


def test_images_are_chosen_by_name() -> None:
    assert list(plan.choose(read("  one: {models: [a]}\n  two: {models: [b]}\n"), ["two"])) == ["two"]


def test_an_unknown_image_is_refused_with_those_there_are() -> None:
    with pytest.raises(InputError) as caught:
        plan.choose(read("  one: {models: [a]}\n"), ["two"])
    assert (caught.value.message, caught.value.hint) == ("there is no image `two`", "the manifest has: one")


def test_what_tags_are_made_of_is_known_before_it_is_asked() -> None:
    images = read(
        "  i: {models: [a], tags: [latest]}\n  j: {models: [a], tags: ['{{ git.tag }}', '{{ ci.run }}']}\n"
    ).images
    assert plan.tag_names({"i": images["i"]}) == set()
    assert plan.tag_names(images) == {"git", "ci"}


@pytest.mark.parametrize(
    ("template", "is_repeatable"), [("{{ lock.digest }}", True), ("{{ date }}", False), ("{{ git.sha }}", False)]
)
def test_a_plan_is_repeatable_whose_tags_come_from_manifest_and_lock(template: str, *, is_repeatable: bool) -> None:
    manifest_ = read(f"  i: {{models: [a], tags: ['{template}']}}\n")
    names = tags.Names(lock=LOCK, git=CHECKOUT, now=datetime(2026, 11, 23, tzinfo=UTC))
    assert plan.make(manifest_, manifest_.images, names=names).is_repeatable is is_repeatable


def test_the_labels_say_what_is_inside() -> None:
    (image,) = make("  i: {models: [a]}\n")
    assert image.labels == {
        "org.opencontainers.image.title": "i",
        "org.opencontainers.image.version": LOCK.chosen(["a"]).digest,
        "org.opencontainers.image.created": "2024-01-01T00:00:00Z",
        "org.opencontainers.image.licenses": "Apache-2.0",
        "org.opencontainers.image.base.name": "debian:bookworm-slim",
        "build-image.bundle": f"sha256:{hashlib.sha256(bundle.document(image.models)).hexdigest()}",
        "build-image.models": f"example/a@{data.COMMIT}",
        "build-image.model.a": f"example/a@{data.COMMIT} {FILES_DIGEST}",
    }


def test_the_labels_say_where_the_manifest_comes_from() -> None:
    origin = Origin(source="https://example.com/team/models", revision="c" * 40, created=1_795_000_000)
    manifest_ = read("  i: {models: [a]}\n")
    names = tags.Names(lock=LOCK, now=datetime(2026, 11, 23, tzinfo=UTC))
    (image,) = plan.make(manifest_, manifest_.images, names=names, origin=origin).images
    told = {key: image.labels[f"org.opencontainers.image.{key}"] for key in ("source", "revision", "created")}
    assert told == {
        "source": "https://example.com/team/models",
        "revision": "c" * 40,
        "created": "2026-11-18T11:06:40Z",
    }


def test_an_image_of_weights_names_no_base_that_it_does_not_stand_on() -> None:
    (image,) = make("  i: {models: [a], kind: models}\n")
    assert (image.kind, image.labels) == (
        "models",
        {
            "org.opencontainers.image.title": "i",
            "org.opencontainers.image.version": LOCK.chosen(["a"]).digest,
            "org.opencontainers.image.created": "2024-01-01T00:00:00Z",
            "org.opencontainers.image.licenses": "Apache-2.0",
            "build-image.models": f"example/a@{data.COMMIT}",
            "build-image.model.a": f"example/a@{data.COMMIT} {FILES_DIGEST}",
        },
    )


def immutable(images: str, defaults: str = "") -> tuple[str, ...]:
    text = f"{defaults}{MODELS}{images}"
    manifest_ = manifest.parse(text, file=Path("models.yaml"), environment={})
    names = tags.Names(lock=LOCK, git=CHECKOUT, now=datetime(2026, 11, 23, tzinfo=UTC))
    (image,) = plan.make(manifest_, manifest_.images, names=names).images
    return image.immutable


@pytest.mark.parametrize(
    ("patterns", "kept"),
    [
        ("[v*]", ("i:v1", "i:v2")),
        ("['v?', latest]", ("i:v1", "i:v2", "i:latest")),
        ("[V*]", ()),
        ("[]", ()),
    ],
)
def test_an_image_s_patterns_say_which_of_its_names_are_immutable(patterns: str, kept: tuple[str, ...]) -> None:
    images = f"  i: {{models: [a], tags: [v1, v2, latest], immutable: {patterns}}}\n"
    assert immutable(images, "defaults: {immutable: ['*']}\n") == kept


def test_an_image_without_patterns_has_those_of_the_defaults() -> None:
    images = "  i: {models: [a], tags: [v1, latest]}\n"
    assert immutable(images, "defaults: {immutable: ['v*']}\n") == ("i:v1",)


def test_no_name_is_immutable_unless_the_manifest_says_so() -> None:
    assert immutable("  i: {models: [a]}\n") == ()
