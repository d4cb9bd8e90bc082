"""Ask a server that takes no more for now with LiteLLM, which may not try again by itself."""

import litellm

from tests.clients.programs.outcome import DOCUMENTS, QUERY, TEXTS, address, run

url, key = address()
litellm.suppress_debug_info = True

run(
    {
        "embed as openai": lambda: litellm.embedding(
            model="openai/tiny", input=TEXTS, api_base=f"{url}/v1", api_key=key, max_retries=0
        ),
        "rerank as cohere": lambda: litellm.rerank(
            model="cohere/ranker", query=QUERY, documents=DOCUMENTS, api_base=url, api_key=key
        ),
    }
)
