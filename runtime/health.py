"""Own how the server says whether it answers; why it does not yet is the service's."""

from runtime.handler import Backend, Reply
from runtime.metrics import CONTENT_TYPE
from runtime.schemas import Health, NoFields


async def health(backend: Backend, _asked: NoFields) -> Reply:
    """Answer 200 once every model is loaded, and 503 before, and after SIGTERM."""
    if backend.service.ready:
        return Reply(body=Health(status="ok"))
    return Reply(body=Health(status="draining" if backend.service.draining else "loading"), status=503)


async def livez(_backend: Backend, _asked: NoFields) -> Reply:
    """Answer 200: a process that can't work any more ends by itself."""
    return Reply(body=Health(status="ok"))


async def metrics(backend: Backend, _asked: NoFields) -> Reply:
    """Answer what Prometheus asks."""
    return Reply(body=backend.service.metrics.exposition(), media_type=CONTENT_TYPE)
