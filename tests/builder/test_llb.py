from hashlib import sha256

from builder import llb, wire

DEFINITION = llb.local("files-embedder", session_id="s1", shown_as="[internal] load files-embedder")


def test_a_source_is_the_tree_of_a_name_that_one_session_sends() -> None:
    operation, _ = wire.contents(wire.parse(DEFINITION), 1)
    (source,) = wire.contents(wire.parse(operation), 3)
    assert (wire.text(wire.parse(source), 1), wire.texts(wire.parse(source), 2)) == (
        "local://files-embedder",
        {"local.session": "s1", "local.sharedkeyhint": "files-embedder"},
    )


def test_its_result_is_the_source_by_its_digest() -> None:
    operation, result = wire.contents(wire.parse(DEFINITION), 1)
    (taken,) = wire.contents(wire.parse(result), 1)
    assert wire.text(wire.parse(taken), 1) == f"sha256:{sha256(operation).hexdigest()}"


def test_it_is_shown_under_a_name() -> None:
    operation, _ = wire.contents(wire.parse(DEFINITION), 1)
    (about,) = map(wire.parse, wire.contents(wire.parse(DEFINITION), 2))
    assert wire.text(about, 1) == f"sha256:{sha256(operation).hexdigest()}"
    assert wire.texts(wire.parse(wire.contents(about, 2)[0]), 2) == {"llb.customname": "[internal] load files-embedder"}
