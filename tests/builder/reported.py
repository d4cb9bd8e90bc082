"""Results of a run that several tests of its reports start from: four images, two at a time, one of them broken."""

from dataclasses import replace

from builder import report as reports
from builder.engine import ImageDetails
from builder.errors import SmokeFailedError
from builder.history import Layer
from builder.record import Phase, Step
from builder.registry import Published
from builder.report import Report, Run
from builder.result import ImageResult
from builder.smoke import Check
from tests.builder import data

BEGAN = 1_795_000_000.0
DIGEST = "sha256:" + "1" * 64
PUSHED = {"reference": "registry.example.com:5000/search/retrieval:1", "digest": DIGEST, "size_bytes": 120_000_000}
MODEL_BYTES = 90_800_000


def layer(number: int, name: str, size_bytes: int, created_by: str) -> Layer:
    return Layer(digest=f"sha256:{number:064x}", name=name, size_bytes=size_bytes, created_by=created_by)


LAYERS = (
    layer(1, "base", 78_100_000, "/bin/sh -c #(nop) ADD file:3c4a in / "),
    layer(2, "runtime-packages", 45_300_000, "RUN sh /stages/network.sh sh /stages/runtime-packages.sh # buildkit"),
    layer(3, "python-deps", 189_000_000, "COPY /out/ / # buildkit"),
    layer(4, "model-embedder", MODEL_BYTES, "COPY /out/ / # buildkit"),
    layer(5, "model-reranker", MODEL_BYTES, "COPY /out/ / # buildkit"),
    layer(6, "app", 412_000, "COPY /out/ / # buildkit"),
    layer(7, "golden", 0, "COPY /out/ / # buildkit"),
)


def step(
    name: str, begun_s: float, took_s: float | None, *, cached: bool = False, moved_bytes: int = 0, error: str = ""
) -> Step:
    """Make a step that began `begun_s` after the run."""
    stage = name[1:].split(maxsplit=1)[0] if name.startswith("[") else name
    completed_s = None if took_s is None else BEGAN + begun_s + took_s
    return Step(
        name=name,
        stage=stage,
        started_s=BEGAN + begun_s,
        completed_s=completed_s,
        cached=cached,
        moved_bytes=moved_bytes,
        error=error,
    )


def phases(*spans: tuple[str, float, float]) -> tuple[Phase, ...]:
    return tuple(
        Phase(name=name, started_s=BEGAN + begun_s, completed_s=BEGAN + ended_s) for name, begun_s, ended_s in spans
    )


CHECKS = (
    Check(name="starts", detail="ready after 0.7 s", duration_s=0.71234),
    Check(
        name="embedder embeds",
        detail="384 dimensions, cosine 0.876 to a paraphrase, 0.006 to an unrelated sentence",
        duration_s=0.1,
    ),
    Check(name="selftest", detail="passed, every file as locked, every answer as baked", duration_s=0.7),
    Check(name="writes nothing", detail="no file changed", duration_s=0.2),
)
RETRIEVAL = ImageResult(
    plan=data.image(data.fetched(), name="retrieval"),
    references=("registry.example.com/search/retrieval:1", "registry.example.com/search/retrieval:latest"),
    details=ImageDetails(
        id=DIGEST,
        platform="linux/amd64",
        size_bytes=494_412_000,
        layers=tuple(held.digest for held in LAYERS),
        labels={},
        environment=(),
        digest="",
    ),
    layers=LAYERS,
    phases=phases(("build", 2.0, 22.0), ("smoke test", 22.0, 24.0), ("tag", 24.0, 24.1)),
    steps=(
        step("[python-deps 1/2] FROM debian:bookworm-slim", 2.2, 0.1, cached=True),
        step('[model-embedder 2/2] RUN ["sh", "/stages/bake-model.sh", "a/b"]', 2.3, 6.5, moved_bytes=MODEL_BYTES),
        step('[model-reranker 2/2] RUN ["sh", "/stages/bake-model.sh", "a/c"]', 2.3, 5.0, moved_bytes=MODEL_BYTES),
        step('[assembled 2/6] RUN ["sh", "/stages/runtime-packages.sh"]', 2.3, 9.0),
        step('[python-deps 2/2] RUN ["sh", "/stages/python-deps.sh", "1"]', 2.3, 16.5),
        step('[app 2/2] RUN ["sh", "/stages/bake-app.sh", "1"]', 18.8, 0.4),
        step("[assembled 3/6] COPY --link --from=python-deps /out/ /", 18.8, 0.6),
        step('[golden 1/1] RUN ["sh", "/stages/golden.sh", "1"]', 19.5, 1.9),
        step("exporting to image", 21.5, 0.4),
    ),
    checks=CHECKS,
    build_s=20.0,
    duration_s=22.1,
)
PUBLISHED = replace(
    RETRIEVAL,
    pushed=tuple(Published(reference=name, digest=DIGEST, size_bytes=None) for name in RETRIEVAL.references),
    phases=(*RETRIEVAL.phases, *phases(("push", 24.1, 27.1))),
)
BROKEN = ImageResult(
    plan=data.image(data.fetched(), name="broken"),
    details=RETRIEVAL.details,
    layers=LAYERS[:4],
    phases=phases(("build", 2.0, 20.5), ("smoke test", 20.5, 23.0)),
    steps=(
        step('[model-reranker 2/2] RUN ["sh", "/stages/bake-model.sh", "a/c"]', 2.3, 5.0),
        step('[python-deps 2/2] RUN ["sh", "/stages/python-deps.sh", "1"]', 2.3, 16.5),
        step('[app 2/2] RUN ["sh", "/stages/bake-app.sh", "1"]', 18.8, 0.5),
        step("exporting to image", 19.0, 1.2),
    ),
    checks=(CHECKS[0], Check(name="embedder embeds", detail="a vector of <zeros>", duration_s=0.3, passed=False)),
    build_s=18.5,
    duration_s=21.0,
    error=SmokeFailedError(
        "smoke test: embedder embeds: a vector of <zeros>",
        output=("\x1b[31mfirst | line\x1b[0m", "::error::second\n]]> line", '{"level": "info"}'),
        hint="the image has no tag; look closer with `docker run`",
    ),
)
WEIGHTS = ImageResult(
    plan=data.image(data.fetched(), name="weights", kind="models"),
    references=("weights:latest",),
    details=ImageDetails(
        id="sha256:" + "2" * 64,
        platform="linux/amd64",
        size_bytes=2 * MODEL_BYTES,
        layers=(LAYERS[3].digest, LAYERS[4].digest),
        labels={},
        environment=(),
        digest="",
    ),
    layers=LAYERS[3:5],
    phases=phases(("build", 23.1, 23.9), ("smoke test", 23.9, 25.0), ("tag", 25.0, 25.1)),
    steps=(
        step('[model-embedder 2/2] RUN ["sh", "/stages/bake-model.sh", "a/b"]', 23.3, 0.0, cached=True),
        step('[model-reranker 2/2] RUN ["sh", "/stages/bake-model.sh", "a/c"]', 23.3, 0.0, cached=True),
        step("exporting to image", 23.4, 0.4),
    ),
    checks=(Check(name="files", detail="19 files, 182 MB, every one as locked", duration_s=1.0),),
    build_s=0.8,
    duration_s=2.0,
)
STOPPED = ImageResult(
    plan=data.image(data.fetched(), name="stopped"),
    phases=phases(("build", 24.2, 27.0)),
    steps=(
        step('[model-embedder 2/2] RUN ["sh", "/stages/bake-model.sh", "a/b"]', 24.4, 0.0, cached=True),
        step('[python-deps 2/2] RUN ["sh", "/stages/python-deps.sh", "1"]', 24.4, None),
    ),
    duration_s=2.8,
    is_finished=False,
)
WAITING = ImageResult(plan=data.image(data.fetched(), name="waiting"), is_finished=False)
ALL = (RETRIEVAL, BROKEN, WEIGHTS, STOPPED, WAITING)


def run(*results: ImageResult) -> Run:
    """Make a run that has come so far as these results say."""
    return Run(
        version="1.2",
        manifest="models.yaml",
        jobs=2,
        ci={"name": "github", "run": "7", "branch": "main", "tag": "", "sha": "0" * 40, "change": ""},
        started_s=BEGAN,
        journal={result.plan.name: result for result in results},
    )


def report(*results: ImageResult, error: BaseException | None = None, ended_s: float = BEGAN + 28.0) -> Report:
    """Make the report of a run with these results."""
    return reports.make(run(*results), ended_s=ended_s, error=error)


def older() -> Report:
    """Make a report of a run before, whose image was smaller and had other layers."""
    made = report(RETRIEVAL, WEIGHTS)
    image = made["images"][0]
    image["size_bytes"] -= 30_000_000
    image["history"][1]["size_bytes"] += 2_000_000
    image["history"][2]["size_bytes"] -= 40_000_000
    image["history"].append({**image["history"][0], "name": "model-old", "size_bytes": 12_000_000})
    return made
