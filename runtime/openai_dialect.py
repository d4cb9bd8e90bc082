"""Own what OpenAI's routes mean, with the fields that Jina adds to them: request to service to answer."""

from typing import TYPE_CHECKING

from runtime.bundle import Model
from runtime.errors import InvalidError
from runtime.handler import Backend, Reply, work_headers
from runtime.inputs import texts_of
from runtime.openai_shapes import (
    Embedding,
    EmbeddingsRequest,
    EmbeddingsResponse,
    JinaTask,
    ModelCard,
    ModelRequest,
    ModelsResponse,
)
from runtime.prompting import Purpose, prompt_for
from runtime.schemas import NoFields, Usage
from runtime.service import find

if TYPE_CHECKING:  # numpy comes with the models, after the server listens
    from runtime.encoding import Format

PURPOSES: dict[JinaTask, Purpose] = {
    "retrieval.query": "search_query",
    "retrieval.passage": "search_document",
    "text-matching": "similarity",
    "classification": "classification",
    "separation": "clustering",
}

_UNKNOWN_TIME = 0  # when a model was made is in no bundle


async def embeddings(backend: Backend, asked: EmbeddingsRequest) -> Reply:
    """Embed texts or token ids, as OpenAI's and Jina's `/v1/embeddings`."""
    if asked.late_chunking:
        raise InvalidError("texts are embedded one by one here, not as chunks of one", param="late_chunking")
    kind = _format(asked)
    texts = backend.embeddable(texts_of(asked.input, param="input"), param="input")
    model = backend.service.model("embedding", asked.model)
    _, result = await backend.service.embed(
        texts,
        model=model.name,
        prompt_name=_prompt_name(asked, model),
        dimensions=asked.dimensions,
        normalize=asked.normalized,
        truncate=asked.truncate is not False,
    )
    answer = EmbeddingsResponse(
        data=[Embedding(index=index, embedding=row) for index, row in enumerate(result.encoded(kind))],
        model=model.name,
        usage=Usage(prompt_tokens=result.tokens, total_tokens=result.tokens),
    )
    return Reply(body=answer, headers=work_headers(texts, result=result))


async def models(backend: Backend, _asked: NoFields) -> Reply:
    """List the models, as OpenAI's `/v1/models`."""
    return Reply(body=ModelsResponse(data=[_card(model) for model in backend.service.models]))


async def model(backend: Backend, asked: ModelRequest) -> Reply:
    """Describe one model by its name or source, as OpenAI's `/v1/models/{model}`."""
    return Reply(body=_card(find(backend.service.models, asked.model)))


def _format(asked: EmbeddingsRequest) -> "Format":
    if asked.encoding_format and asked.embedding_type and asked.encoding_format != asked.embedding_type:
        raise InvalidError("give `encoding_format` or `embedding_type`, not both", param="embedding_type")
    return asked.embedding_type or asked.encoding_format or "float"


def _prompt_name(asked: EmbeddingsRequest, model: Model) -> str | None:
    if asked.task is None:
        return asked.prompt_name
    if asked.prompt_name is not None:
        raise InvalidError("give `task` or `prompt_name`, not both", param="task")
    return prompt_for(model, PURPOSES[asked.task])


def _card(model: Model) -> ModelCard:
    return ModelCard(
        id=model.name,
        created=_UNKNOWN_TIME,
        owned_by=model.source.partition("/")[0],
        task=model.task,
        source=model.source,
        revision=model.revision,
        max_length=model.max_length,
        dimensions=model.dimensions,
        prompts=tuple(model.prompts),
    )
