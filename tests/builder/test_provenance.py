import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from builder import provenance
from builder.git import Origin
from builder.provenance import Circumstances
from tests.builder import data

AROUND = Circumstances(
    files={"models.yaml": b"manifest", "models.lock": b"lock"},
    bill=b"bill",
    versions={"build-image": "1.2.3", "docker-engine": "28.5.2"},
    finished=datetime(2026, 11, 23, 12, 0, tzinfo=UTC),
    run="github/7",
)


def sha256(text: bytes) -> dict[str, str]:
    return {"sha256": hashlib.sha256(text).hexdigest()}


def test_a_statement_names_the_image_by_its_digest_and_everything_that_it_was_made_of() -> None:
    model = replace(data.fetched("a"), files={"config.json": data.FILES["config.json"]})
    image = replace(
        data.image(model), base=f"debian:12@sha256:{'b' * 64}", origin=Origin(source="https://x/y", revision="c" * 40)
    )
    read = json.loads(provenance.statement(image, f"sha256:{'1' * 64}", AROUND))
    assert (read["_type"], read["predicateType"]) == (
        "https://in-toto.io/Statement/v1",
        "https://slsa.dev/provenance/v1",
    )
    assert read["subject"] == [{"name": "example/retrieval:latest", "digest": {"sha256": "1" * 64}}]
    hub = "https://huggingface.co/example/a"
    assert read["predicate"]["buildDefinition"]["resolvedDependencies"] == [
        {"name": "models.yaml", "digest": sha256(b"manifest")},
        {"name": "models.lock", "digest": sha256(b"lock")},
        {"name": "checkout", "digest": {"gitCommit": "c" * 40}, "uri": "git+https://x/y"},
        {"name": "base", "uri": "docker-image://debian:12", "digest": {"sha256": "b" * 64}},
        {
            "name": "a",
            "digest": {**sha256(f"{'c' * 64}  config.json\n".encode()), "gitCommit": data.COMMIT},
            "uri": f"git+{hub}",
        },
        {"name": "a/config.json", "digest": {"sha256": "c" * 64}, "uri": f"{hub}/resolve/{data.COMMIT}/config.json"},
    ]
    assert read["predicate"]["runDetails"] == {
        "builder": {"id": "urn:build-image", "version": {"build-image": "1.2.3", "docker-engine": "28.5.2"}},
        "metadata": {"finishedOn": "2026-11-23T12:00:00Z", "invocationId": "github/7"},
        "byproducts": [{"name": "sbom.cdx.json", "digest": sha256(b"bill")}],
    }


def test_a_model_from_a_folder_has_no_address() -> None:
    model = data.local(Path("/models/a"))
    read = json.loads(provenance.statement(data.image(model), "sha256:1", AROUND))
    entries = read["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert [set(entry) for entry in entries if entry["name"].startswith("embedder")] == [{"name", "digest"}] * 4
