"""Ask with the client of OpenAI."""

import openai

from tests.clients.programs.outcome import TEXTS, address, run

url, key = address()
client = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)
stranger = openai.OpenAI(base_url=f"{url}/v1", api_key="wrong", max_retries=0)


def vectors(**fields: object) -> object:
    answer = client.embeddings.create(**{"model": "tiny", "input": TEXTS, **fields})
    return {"vectors": [item.embedding for item in answer.data], "tokens": answer.usage.prompt_tokens}


run(
    {
        "version": lambda: openai.__version__,
        "by default": vectors,
        "as numbers": lambda: vectors(encoding_format="float"),
        "shorter": lambda: vectors(dimensions=16),
        "with user": lambda: vectors(user="somebody"),
        "of ids": lambda: vectors(input=[[2, 10, 3], [2, 11, 3]]),
        "models": lambda: [model.id for model in client.models.list()],
        "model": lambda: client.models.retrieve("test/tiny-reranker").id,
        "wrong key": lambda: stranger.embeddings.create(model="tiny", input=TEXTS),
        "unknown model": lambda: vectors(model="text-embedding-3-small"),
        "unknown width": lambda: vectors(dimensions=5),
        "ids of tiktoken": lambda: vectors(input=[[15339, 1917]]),
        "nothing": lambda: vectors(input=[]),
        "too long": lambda: vectors(input="a" * 200_000),
    }
)
