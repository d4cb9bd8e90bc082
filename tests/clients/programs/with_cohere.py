"""Ask with the clients of Cohere, version 1 and 2."""

import cohere

from tests.clients.programs.outcome import DOCUMENTS, QUERY, TEXTS, address, run

url, key = address()
client = cohere.ClientV2(api_key=key, base_url=url)
older = cohere.Client(api_key=key, base_url=url)
stranger = cohere.ClientV2(api_key="wrong", base_url=url)


def ranked(answer: object) -> object:
    return [(item.index, item.relevance_score) for item in answer.results]  # type: ignore[attr-defined] # not typed here


def embedded(**fields: object) -> object:
    answer = client.embed(**{"model": "tiny", "input_type": "search_document", "texts": TEXTS, **fields})
    return {
        "float": answer.embeddings.float_,
        "binary": answer.embeddings.binary,
        "ubinary": answer.embeddings.ubinary,
        "base64": answer.embeddings.base64,
        "tokens": answer.meta.billed_units.input_tokens,
        "warnings": answer.meta.warnings,
    }


def returned() -> object:
    documents = [{"text": document, "number": place} for place, document in enumerate(DOCUMENTS)]
    answer = older.rerank(model="ranker", query=QUERY, documents=documents, return_documents=True, top_n=1)
    return [item.document.dict() for item in answer.results]


run(
    {
        "version": lambda: cohere.__version__,
        "embed": embedded,
        "embed in types": lambda: embedded(embedding_types=["float", "binary", "ubinary", "base64"]),
        "embed a query": lambda: embedded(input_type="search_query", output_dimension=16),
        "embed a long text": lambda: embedded(texts=["cat " * 99], truncate="START"),
        "rerank": lambda: ranked(client.rerank(model="ranker", query=QUERY, documents=DOCUMENTS)),
        "rerank in version 1": lambda: ranked(older.rerank(model="ranker", query=QUERY, documents=DOCUMENTS)),
        "rerank objects": returned,
        "wrong key": lambda: stranger.rerank(model="ranker", query=QUERY, documents=DOCUMENTS),
        "unknown model": lambda: client.rerank(model="rerank-v3.5", query=QUERY, documents=DOCUMENTS),
        "scaled bytes": lambda: embedded(embedding_types=["int8"]),
        "too long": lambda: embedded(texts=["cat " * 99], truncate="NONE"),
    }
)
