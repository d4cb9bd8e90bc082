import io
from collections.abc import Sequence
from dataclasses import replace

import pytest

from builder import cli, owner, prune
from builder.api import HeldContainer, HeldImage
from builder.console import Console
from builder.labels import MODELS_LABEL
from builder.owner import OWNER_LABEL
from builder.prune import Leftovers
from tests.conftest import Golden

OURS = f"build-image-{'0' * 32}"


def image(number: int, *names: str, own_bytes: int = 0) -> HeldImage:
    return HeldImage(
        id=f"sha256:{number:064}",
        names=names,
        labels={MODELS_LABEL: "local/embedder@1 jinaai/reranker@2"},
        size_bytes=405_000_000,
        own_bytes=own_bytes,
    )


def container(name: str, of: HeldImage, status: str = "exited") -> HeldContainer:
    return HeldContainer(name=name, image_id=of.id, status=status)


class Engine:
    """An engine that remembers what it was told to remove."""

    def __init__(self, *images: HeldImage, containers: Sequence[HeldContainer] = ()) -> None:
        self._images = images
        self._containers = containers
        self.removed: list[str] = []

    def images(self, *, label: str) -> Sequence[HeldImage]:
        return [image for image in self._images if label in image.labels]

    def containers(self) -> Sequence[HeldContainer]:
        return self._containers

    def discard_image(self, image_id: str, /) -> None:
        self.removed.append(image_id)

    def discard_container(self, name: str, /) -> None:
        self.removed.append(name)


def test_the_help_is_as_it_was(golden: Golden, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["prune", "--help"]) == 0
    golden.check(capsys.readouterr().out, "prune-help.txt")


def test_an_image_without_a_name_is_left_over_and_a_named_one_is_not() -> None:
    assert prune.find(Engine(image(1), image(2, "retrieval:latest"))) == Leftovers(images=(image(1),))


def test_only_the_names_that_this_program_gives_are_its_containers() -> None:
    made = container(OURS, image(1), "running")
    others = [container("build-image-mine", image(2)), container(f"{OURS}0", image(2)), container("web", image(2))]
    assert prune.find(Engine(containers=[made, *others])) == Leftovers(containers=(made,))


def test_an_image_that_somebody_else_s_container_uses_stays() -> None:
    containers = [container("web", image(1)), container(OURS, image(2))]
    assert prune.find(Engine(image(1), image(2), containers=containers)).images == (image(2),)


def test_what_would_go_is_listed_with_what_it_frees() -> None:
    leftovers = Leftovers(
        containers=(container(OURS, image(1), "running"),),
        images=(image(1, own_bytes=2_000_000), image(2, own_bytes=1_000_000)),
    )
    assert list(leftovers.lines()) == [
        f"container  {OURS}  running",
        "image      sha256:000000000000  405 MB  local/embedder, jinaai/reranker",
        "image      sha256:000000000000  405 MB  local/embedder, jinaai/reranker",
        "frees 3 MB that no other image has; what the build cache has of it goes with `docker builder prune`",
    ]


def test_containers_go_before_the_images_that_they_use() -> None:
    engine = Engine()
    prune.remove(Leftovers(containers=(container(OURS, image(1)),), images=(image(1),)), engine)
    assert engine.removed == [OURS, image(1).id]


def test_nothing_left_over_is_false() -> None:
    assert [bool(Leftovers()), bool(Leftovers(images=(image(1),)))] == [False, True]


def test_a_run_removes_the_containers_of_those_that_were_killed_and_no_others() -> None:
    place, _, _ = owner.mark().rpartition(" ")
    killed, other = f"{place} {2**22 + 1}", f"another-boot pid:[1] {2**22 + 1}"
    names = [f"build-image-{number:032}" for number in range(4)]
    labels = [{OWNER_LABEL: marked} for marked in (killed, owner.mark(), other)]
    held = [replace(container(name, image(1)), labels=label) for name, label in zip(names, [*labels, {}], strict=True)]
    foreign = replace(container("web", image(1)), labels={OWNER_LABEL: killed})
    engine, err = Engine(containers=[*held, foreign]), io.StringIO()
    prune.sweep(engine, Console(out=io.StringIO(), err=err))
    assert engine.removed == [names[0]]
    assert err.getvalue() == f"removed the container {names[0]}, which a run that was killed had left\n"
