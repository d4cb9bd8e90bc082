"""Ask with LiteLLM, as several providers."""

from importlib import metadata

import litellm

from tests.clients.programs.outcome import DOCUMENTS, QUERY, TEXTS, address, run

url, key = address()
litellm.suppress_debug_info = True


def vectors(model: str, api_base: str, **fields: object) -> object:
    answer = litellm.embedding(
        **{"model": model, "input": TEXTS, "api_base": api_base, "api_key": key, "max_retries": 0, **fields}
    )
    return [item["embedding"] for item in answer.data]


def ranked(model: str, api_base: str) -> object:
    answer = litellm.rerank(model=model, query=QUERY, documents=DOCUMENTS, api_base=api_base, api_key=key)
    return [(item["index"], item["relevance_score"]) for item in answer.results]


run(
    {
        "version": lambda: metadata.version("litellm"),
        "embed as openai": lambda: vectors("openai/tiny", f"{url}/v1"),
        "embed as cohere": lambda: vectors("cohere/tiny", f"{url}/v2/embed"),
        "embed as jina": lambda: vectors("jina_ai/tiny", f"{url}/v1"),
        "embed as infinity": lambda: vectors("infinity/tiny", url),
        "embed as vllm": lambda: vectors("hosted_vllm/tiny", f"{url}/v1"),
        "rerank as cohere": lambda: ranked("cohere/ranker", url),
        "rerank as jina": lambda: ranked("jina_ai/ranker", url),
        "rerank as vllm": lambda: ranked("hosted_vllm/ranker", url),
        "rerank as huggingface": lambda: ranked("huggingface/ranker", url),
        "wrong key": lambda: vectors("openai/tiny", f"{url}/v1", api_key="wrong"),
        "unknown model": lambda: vectors("openai/gpt", f"{url}/v1"),
        "nothing": lambda: vectors("openai/tiny", f"{url}/v1", input=[]),
    }
)
