"""Own how the server says whether it answers; why it does not yet is the service's."""

from runtime.handler import Backend, Reply
from runtime.schemas import Health, NoFields


async def health(backend: Backend, _asked: NoFields) -> Reply:
    """Answer 200 once every model is loaded, and 503 before."""
    if backend.service.ready:
        return Reply(body=Health(status="ok"))
    return Reply(body=Health(status="loading"), status=503)
