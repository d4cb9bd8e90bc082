import io
import json
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

import pytest

from builder import proof
from builder.errors import AbsentError, BuildFailedError, InternalError
from tests.builder.optimized import ACCURACY

COMPARED = '[compared 1/1] RUN --network=none ["sh", "/stages/compared.sh", "1704067200"]'


@dataclass
class Images:
    """An engine with an image that holds this file, or none."""

    content: bytes | None

    @contextmanager
    def archive(self, image: str, path: str, /) -> Iterator[BinaryIO]:
        if self.content is None:
            raise AbsentError(f"no {path} in {image}")
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as tar:
            member = tarfile.TarInfo("accuracy.json")
            member.size = len(self.content)
            tar.addfile(member, io.BytesIO(self.content))
        yield io.BytesIO(stream.getvalue())


def test_what_was_measured_is_read_from_the_image() -> None:
    assert proof.read(Images(json.dumps({"version": 1, "models": ACCURACY}).encode()), "i") == ACCURACY


@pytest.mark.parametrize("content", [None, b"", b"[]", b"{}"])
def test_an_image_without_a_proof_is_a_bug(content: bytes | None) -> None:
    with pytest.raises(InternalError, match="`i` holds no `/opt/bundle/accuracy.json`"):
        proof.read(Images(content), "i")


def test_each_graph_that_was_judged_is_a_check_with_its_figures() -> None:
    assert [(check.name, check.detail, check.passed) for check in proof.checks(ACCURACY)] == [
        (
            "embedder answers as its original",
            "model.onnx against onnx/model.onnx: mean cosine 0.9935 of at least 0.99, least cosine 0.9856, "
            "batch difference 0.0002 of at most 0.001",
            True,
        )
    ]


def test_what_was_not_done_is_a_warning() -> None:
    assert list(proof.warnings(ACCURACY)) == [
        "models.embedder.optimize: fuse_pooling: it pools itself",
        "models.reranker.optimize: the original graph stays: load: ONNX Runtime can't load it",
    ]


def failed(*output: str, step: str = COMPARED) -> BuildFailedError:
    return BuildFailedError("process ended with 1", step=step, output=output)


def test_a_graph_that_is_not_near_enough_is_told_with_its_table_and_a_remedy() -> None:
    said = "the optimised graph of `a` does not answer as its original: mean cosine 0.8, at least 0.99"
    told = proof.retold(failed("a: model.onnx", "  mean cosine 0.8", f"error: {said}"))
    assert (told.message, told.output) == (said, ("a: model.onnx", "  mean cosine 0.8"))
    assert (told.hint or "").startswith("choose a gentler `quantize`")


def test_the_optimiser_s_own_hint_is_kept() -> None:
    step = '[optimize-a 1/1] RUN ["sh", "/stages/bake-optimized.sh", "local/a"]'
    told = proof.retold(failed("error: `model.onnx`: quantize: no product", "hint: remove it", step=step))
    assert (told.message, told.hint, told.output) == ("`model.onnx`: quantize: no product", "remove it", ())


@pytest.mark.parametrize("error", [failed("Killed"), failed("error: E: no package", step="[x 1/1] RUN apt-get")])
def test_any_other_failure_is_told_as_it_is(error: BuildFailedError) -> None:
    assert proof.retold(error) is error
