"""Own what is gathered about a built image for the manifest's gates to judge; it builds, tests and tags nothing."""

import time
from collections.abc import Iterable
from dataclasses import replace

from builder import contents, gates
from builder.api import ImageDetails
from builder.buildkit import Cancellation
from builder.contents import Contents, Search
from builder.engine import Engine
from builder.gates import Figures, Measured, Verdict
from builder.leaks import Finder
from builder.plan import ImagePlan

_NOTHING = Contents(leaks=(), duplicates=())


def judge(
    engine: Engine,
    image: ImagePlan,
    *,
    details: ImageDetails,
    figures: Figures,
    secrets: Iterable[str],
    cancellation: Cancellation,
) -> Verdict:
    """Look through an image and judge it; `secrets` must be nowhere in it.

    Raises FailedError, and KeyboardInterrupt after `cancellation`.

    An image is read as a whole only where a gate wants to know what is in its layers.
    """
    started = time.monotonic()
    found = _NOTHING
    if image.gates.secrets or image.gates.max_duplicates is not None:
        search = replace(_search(image, details, secrets), is_cancelled=lambda: cancellation.requested)
        found = contents.survey(engine, details.id, search)
    reading_s = time.monotonic() - started
    measured = Measured(models=image.models, size_bytes=details.size_bytes, figures=figures, contents=found)
    verdict = gates.judge(image.gates, measured)
    passed = [replace(check, duration_s=reading_s if check.name in _READ else 0.0) for check in verdict.passed]
    return replace(verdict, passed=tuple(passed))


_READ = {"gate secrets", "gate max_duplicates"}  # those whose time is that of reading all layers


def _search(image: ImagePlan, details: ImageDetails, secrets: Iterable[str]) -> Search:
    return Search(
        finder=Finder.of(secrets) if image.gates.secrets else None,
        duplicates=image.gates.max_duplicates is not None,
        base_layers=details.layers[: -image.own_layers],
        verified=contents.verified_paths(image.models),
    )
