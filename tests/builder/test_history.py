from pathlib import Path

import pytest

from builder import history, render
from builder.api import HistoryEntry
from tests.builder import data

DOCKERFILE = """\
FROM --platform=$BUILDPLATFORM debian AS builder
RUN make
FROM debian AS assembled
RUN --network=none \\
    --mount=type=bind,source=stages/x.sh,target=/stages/x.sh \\
    ["sh", "/stages/network.sh", "sh", "/stages/runtime-packages.sh"]
COPY --link --from=builder /out/ /
ENV A="1"
FROM assembled AS runtime
COPY --link --from=golden /out/ /
WORKDIR /app
LABEL a="b"
"""
ENTRIES = [  # as the engine tells them, newest first
    HistoryEntry(created_by="LABEL a=b", size_bytes=0),
    HistoryEntry(created_by="WORKDIR /app", size_bytes=0),
    HistoryEntry(created_by="COPY /out/ / # buildkit", size_bytes=0),
    HistoryEntry(created_by="ENV A=1", size_bytes=0),
    HistoryEntry(created_by="COPY /out/ / # buildkit", size_bytes=30),
    HistoryEntry(created_by="RUN sh /stages/network.sh", size_bytes=20),
    HistoryEntry(created_by='/bin/sh -c #(nop)  CMD ["bash"]', size_bytes=0),
    HistoryEntry(created_by="/bin/sh -c #(nop) ADD file:1 in / ", size_bytes=10),
]
DIGESTS = [f"sha256:{number}" for number in range(5)]


def test_each_layer_is_named_after_what_made_it() -> None:
    layers = history.layers(DIGESTS, ENTRIES, dockerfile=DOCKERFILE)
    assert [(layer.digest, layer.name, layer.size_bytes) for layer in layers] == [
        ("sha256:0", "base", 10),
        ("sha256:1", "runtime-packages", 20),
        ("sha256:2", "builder", 30),
        ("sha256:3", "golden", 0),
        ("sha256:4", "WORKDIR", 0),
    ]
    assert layers[0].created_by == "/bin/sh -c #(nop) ADD file:1 in / "


def test_a_base_may_have_any_number_of_layers() -> None:
    entries = [*ENTRIES, HistoryEntry(created_by="an import", size_bytes=5)]
    layers = history.layers([*DIGESTS, "sha256:5"], entries, dockerfile=DOCKERFILE)
    assert [layer.name for layer in layers][:3] == ["base", "base", "runtime-packages"]


def test_where_the_engine_makes_no_layer_of_nothing_the_sizes_are_still_told() -> None:
    layers = history.layers(DIGESTS[:3], ENTRIES, dockerfile="")
    assert [layer.size_bytes for layer in layers] == [10, 20, 30]


def test_sizes_that_can_t_be_told_apart_are_not_guessed() -> None:
    layers = history.layers(DIGESTS, ENTRIES[:2], dockerfile=DOCKERFILE)
    assert {(layer.size_bytes, layer.created_by) for layer in layers} == {(None, None)}
    assert [layer.name for layer in layers] == ["base", "runtime-packages", "builder", "golden", "WORKDIR"]


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (
            "server",
            ["base", "runtime-packages", "python-deps", "model-embedder", "model-reranker", "app", "golden", "sbom"],
        ),
        ("models", ["model-embedder", "model-reranker"]),
    ],
)
def test_the_layers_of_our_own_dockerfiles_have_the_names_of_their_stages(kind: str, names: list[str]) -> None:
    image = data.image(data.local(Path("/models/a")), data.fetched(), kind="models" if kind == "models" else "server")
    digests = [f"sha256:{number}" for number in range(len(names))]
    layers = history.layers(digests, [], dockerfile=render.dockerfile(image, version="1"))
    assert [layer.name for layer in layers] == names
