"""Ask a server that takes no more for now; no client may try again by itself."""

import cohere
import openai
from huggingface_hub import InferenceClient
from langchain_openai import OpenAIEmbeddings

from tests.clients.programs.outcome import DOCUMENTS, QUERY, TEXTS, address, run

url, key = address()
of_openai = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)
of_langchain = OpenAIEmbeddings(
    model="tiny", base_url=f"{url}/v1", api_key=key, max_retries=0, check_embedding_ctx_length=False
)
of_cohere = cohere.ClientV2(api_key=key, base_url=url)
of_huggingface_hub = InferenceClient(model=url, token=key, provider="hf-inference")

run(
    {
        "openai": lambda: of_openai.embeddings.create(model="tiny", input=TEXTS),
        "langchain": lambda: of_langchain.embed_query(QUERY),
        "cohere": lambda: of_cohere.rerank(
            model="ranker", query=QUERY, documents=DOCUMENTS, request_options={"max_retries": 0}
        ),
        "huggingface_hub": lambda: of_huggingface_hub.feature_extraction(QUERY),
    }
)
