"""Own the session that local models reach an engine by, once for every build of a run; it knows no image."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from builder import buildkit, context, llb
from builder.engine import Engine
from builder.lock import LockedModel


@contextmanager
def opened(engine: Engine, models: Iterable[LockedModel], *, place: Path) -> Iterator[Mapping[str, bytes]]:
    """Send the files of local `models` to whoever builds while the block runs.

    Yields the definition of each model's files by their `files_name`. `place` is where they are from: what an engine
    has of it already is not sent again. Raises UnreachableError where there is no engine.
    """
    trees = {model.files_name: context.of_model_files(model) for model in models}
    if not trees:
        yield {}
        return
    session_id = uuid4().hex
    with buildkit.open_session(engine, session_id, shared_key=str(place.resolve()), trees=trees):
        yield {name: _definition(name, session_id) for name in trees}


def _definition(name: str, session_id: str) -> bytes:
    return llb.local(name, session_id=session_id, shown_as=f"[internal] load {name}")
