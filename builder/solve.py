"""Own one build by BuildKit's Control service: what it is asked, its progress and what it answers.

Control is what `docker buildx` builds by as well; the Engine's own `/build` takes no inputs, so that every build would
be sent the files of its models again. The messages are those of
https://github.com/moby/buildkit/blob/v0.13.2/api/services/control/control.proto.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from uuid import uuid4

from builder import channel, wire
from builder.channel import Channel
from builder.grpc import Call, CallError

SOLVE = "/moby.buildkit.v1.Control/Solve"
STATUS = "/moby.buildkit.v1.Control/Status"

_FRONTEND = "dockerfile.v0"
_EXPORTER = "moby"  # into the engine's own images
_IMAGE_KEY = "containerimage.digest"
_HOST_NETWORK = "network.host"


@dataclass(frozen=True, kw_only=True, slots=True)
class SolveRequest:
    """A build of a Dockerfile into the engine's images: the frontend's `attributes`, and the definitions it may use."""

    session_id: str
    attributes: Mapping[str, str]
    inputs: Mapping[str, bytes] = field(default_factory=dict)
    uses_host_network: bool = False

    def encoded(self, reference: str) -> bytes:
        """Return the message that begins the build under the id `reference`."""
        named = {f"context:{name}": f"input:{name}" for name in self.inputs}
        return b"".join(
            (
                wire.field(1, reference),
                wire.field(3, _EXPORTER),
                wire.field(5, self.session_id),
                wire.field(6, _FRONTEND),
                wire.mapping(7, {**self.attributes, **named}),
                wire.field(9, _HOST_NETWORK) if self.uses_host_network else b"",
                wire.mapping(10, self.inputs),
            )
        )


class Solve:
    """A build that has begun: its progress, and then its result."""

    def __init__(self, connection: Channel, request: SolveRequest) -> None:
        reference = uuid4().hex
        self._solve = connection.open(SOLVE, request.encoded(reference))
        self._status = connection.open(STATUS, wire.field(1, reference))

    def progress(self) -> Iterator[bytes]:
        """Yield each StatusResponse until the build has ended."""
        with suppress(CallError):  # of a build that has failed before it began there is none; its result says why
            yield from channel.answers(self._status)

    def image_id(self) -> str:
        """Wait for the image's id, empty where there is no image; raises CallError where the build failed."""
        return wire.texts(wire.parse(_last(self._solve)), 1).get(_IMAGE_KEY, "")


def _last(call: Call) -> bytes:
    return ([b"", *channel.answers(call)])[-1]
