"""Ask with LangChain's client of OpenAI."""

from importlib import metadata

from langchain_openai import OpenAIEmbeddings

from tests.clients.programs.outcome import TEXTS, address, run

url, key = address()


def client(**fields: object) -> OpenAIEmbeddings:
    return OpenAIEmbeddings(**{"model": "tiny", "base_url": f"{url}/v1", "api_key": key, "max_retries": 0, **fields})


texts = client(check_embedding_ctx_length=False)
run(
    {
        "version": lambda: metadata.version("langchain-openai"),
        "documents": lambda: texts.embed_documents(TEXTS),
        "query": lambda: texts.embed_query(TEXTS[0]),
        "shorter": lambda: client(check_embedding_ctx_length=False, dimensions=16).embed_documents(TEXTS),
        "by default": lambda: client().embed_documents(TEXTS),
        "wrong key": lambda: client(check_embedding_ctx_length=False, api_key="wrong").embed_query(TEXTS[0]),
    }
)
