// Owns the two models: loads them from the baked Hugging Face cache, and downloads nothing where that is forbidden.
import path from "node:path";

import { AutoModelForSequenceClassification, AutoTokenizer, env, pipeline } from "@huggingface/transformers";

const EMBEDDING = "local/all-minilm-l6-v2";
const RERANKER = "local/all-minilm-l6-v2-reranker";
const DTYPE = "fp32";

// Transformers.js itself reads no variable for these two.
env.cacheDir = cacheDirectory(process.env);
env.allowRemoteModels = process.env.HF_ALLOW_REMOTE_MODELS !== "false";

const extractor = await pipeline("feature-extraction", EMBEDDING, { dtype: DTYPE });
const tokenizer = await AutoTokenizer.from_pretrained(RERANKER);
const reranker = await AutoModelForSequenceClassification.from_pretrained(RERANKER, { dtype: DTYPE });

/** Return one vector of unit length for each text. */
export async function embed(texts) {
  const vectors = await extractor(texts, { pooling: "mean", normalize: true });
  return vectors.tolist();
}

/** Return the logit of each document: the higher, the better it answers the query. */
export async function rerank(query, documents) {
  const queries = documents.map(() => query);
  const inputs = tokenizer(queries, { text_pair: documents, padding: true, truncation: true });
  const { logits } = await reranker(inputs);
  return logits.tolist().map(([logit]) => logit);
}

function cacheDirectory({ TRANSFORMERS_CACHE, HF_HOME }) {
  return TRANSFORMERS_CACHE ?? (HF_HOME ? path.join(HF_HOME, "transformers") : path.resolve(".cache/transformers"));
}
