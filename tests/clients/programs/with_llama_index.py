"""Ask with LlamaIndex's clients of TEI and of OpenAI."""

from importlib import metadata

from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index.embeddings.openai import OpenAIEmbedding
from llama_index.embeddings.text_embeddings_inference import TextEmbeddingsInference
from llama_index.postprocessor.tei_rerank import TextEmbeddingInference

from tests.clients.programs.outcome import DOCUMENTS, QUERY, TEXTS, address, run

url, key = address()
of_tei = TextEmbeddingsInference(
    model_name="tiny", base_url=url, auth_token=key, query_instruction="search query:", text_instruction=""
)
of_openai = OpenAIEmbedding(model_name="tiny", api_base=f"{url}/v1", api_key=key, max_retries=0)
stranger = OpenAIEmbedding(model_name="tiny", api_base=f"{url}/v1", api_key="wrong", max_retries=0)
reranker = TextEmbeddingInference(base_url=url, auth_token=f"Bearer {key}", top_n=2)


def reranked() -> object:
    nodes = [NodeWithScore(node=TextNode(text=document), score=0.0) for document in DOCUMENTS]
    found = reranker.postprocess_nodes(nodes, QueryBundle(QUERY))
    return [(DOCUMENTS.index(node.text), node.score) for node in found]


run(
    {
        "version": lambda: metadata.version("llama-index-core"),
        "texts of TEI": lambda: of_tei.get_text_embedding_batch(TEXTS),
        "query of TEI": lambda: of_tei.get_query_embedding("rates"),
        "rerank of TEI": reranked,
        "texts of OpenAI": lambda: of_openai.get_text_embedding_batch(TEXTS),
        "query of OpenAI": lambda: of_openai.get_query_embedding(TEXTS[0]),
        "wrong key": lambda: stranger.get_query_embedding(TEXTS[0]),
    }
)
