import pytest

from builder import reference


@pytest.mark.parametrize(
    "name", ["app", "team/app", "registry.example.com/team/app", "localhost:5000/app", "a__b/c-d--e", "[::1]:5000/app"]
)
def test_a_repository_is_accepted(name: str) -> None:
    assert reference.check_repository(name) == name


@pytest.mark.parametrize("name", ["", "App", "team//app", "app:tag", "app@sha256:00", "-app", "app/", "a" * 256])
def test_what_is_not_a_repository_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is not an image repository"):
        reference.check_repository(name)


@pytest.mark.parametrize("tag", ["latest", "1.2.3", "V1_x-y", "a" * 128])
def test_a_tag_is_accepted(tag: str) -> None:
    assert reference.check_tag(tag) == tag


@pytest.mark.parametrize("tag", ["", ".hidden", "-x", "a/b", "a b", "a" * 129])
def test_what_is_not_a_tag_is_refused(tag: str) -> None:
    with pytest.raises(ValueError, match="is not a tag"):
        reference.check_tag(tag)


@pytest.mark.parametrize("base", ["debian:bookworm-slim", "localhost:5000/debian", f"debian@sha256:{'0' * 64}"])
def test_a_base_is_accepted(base: str) -> None:
    assert reference.check_base(base) == base


@pytest.mark.parametrize("base", ["alpine", "alpine:3.20", "python:3.11-alpine", "registry.example.com/alpine:edge"])
def test_alpine_is_refused_with_the_reason(base: str) -> None:
    with pytest.raises(ValueError, match="ONNX Runtime has no wheel for musl"):
        reference.check_base(base)


def test_a_digest_must_be_a_sha256() -> None:
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        reference.check_base("debian@sha256:12")


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("app", ("app", None)),
        ("app:1", ("app", "1")),
        ("host:5000/app", ("host:5000/app", None)),
        ("h:5/a:1", ("h:5/a", "1")),
    ],
)
def test_a_port_is_not_taken_for_a_tag(name: str, parts: tuple[str, str | None]) -> None:
    assert reference.split(name) == parts


# tests/engine/test_engine.py compares this with what an engine says.
@pytest.mark.parametrize(
    ("name", "whole"),
    [
        ("app", "docker.io/library/app:latest"),
        ("docker.io/app:1", "docker.io/library/app:1"),
        ("docker.io/library/app:1", "docker.io/library/app:1"),
        ("index.docker.io/app:1", "docker.io/library/app:1"),
        ("team/app:1", "docker.io/team/app:1"),
        ("docker.io/team/app:1", "docker.io/team/app:1"),
        ("docker.io", "docker.io/library/docker.io:latest"),
        ("localhost/app", "localhost/app:latest"),
        ("Host/app", "Host/app:latest"),
        ("registry.example.com/app:1", "registry.example.com/app:1"),
        ("host:5000/app", "host:5000/app:latest"),
        ("[::1]:5000/app", "[::1]:5000/app:latest"),
    ],
)
def test_every_spelling_of_a_name_is_spelled_out_alike(name: str, whole: str) -> None:
    assert reference.spelled_out(name) == whole


@pytest.mark.parametrize(
    ("name", "parts", "names_registry"),
    [
        ("app", ("docker.io", "library/app", "latest"), False),
        ("team/app:1", ("docker.io", "team/app", "1"), True),
        ("localhost:5000/app:1", ("localhost:5000", "app", "1"), True),
    ],
)
def test_a_name_leads_to_a_place_at_a_registry(name: str, parts: tuple[str, str, str], *, names_registry: bool) -> None:
    place = reference.place(name)
    assert (place, place.names_registry) == (parts, names_registry)


@pytest.mark.parametrize("pattern", ["v*", "1.?", "*", "2026-11-24"])
def test_a_pattern_of_tags_is_accepted(pattern: str) -> None:
    assert reference.check_tag_pattern(pattern) == pattern


@pytest.mark.parametrize("pattern", ["", "v[0-9]", "a/b", "{{ git.sha }}"])
def test_what_is_no_pattern_of_tags_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="is not a pattern of tags"):
        reference.check_tag_pattern(pattern)
