"""Own definitions of BuildKit's low-level build, as far as one is told here: a tree of files that a client sends."""

from hashlib import sha256

from builder import wire


def local(name: str, *, session_id: str, shown_as: str) -> bytes:
    """Define the files that the session `session_id` sends under `name`; protobuf's `pb.Definition`.

    Two builds with equal definitions have one source: its files are sent once for both. The fields are those of
    https://github.com/moby/buildkit/blob/v0.13.2/solver/pb/ops.proto.
    """
    attributes = {"local.session": session_id, "local.sharedkeyhint": name}
    source = wire.field(3, wire.field(1, f"local://{name}") + wire.mapping(2, attributes))
    digest = f"sha256:{sha256(source).hexdigest()}"
    result = wire.field(1, wire.field(1, digest))  # the first output of the source
    about = wire.mapping(2, {"llb.customname": shown_as})
    return wire.field(1, source) + wire.field(1, result) + wire.mapping(2, {digest: about})
