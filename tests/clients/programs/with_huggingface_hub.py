"""Ask with the inference client of Hugging Face."""

import huggingface_hub
from huggingface_hub import InferenceClient

from tests.clients.programs.outcome import TEXTS, address, run

url, key = address()


def client(path: str = "", token: str = key) -> InferenceClient:
    return InferenceClient(model=f"{url}{path}", token=token, provider="hf-inference")


run(
    {
        "version": lambda: huggingface_hub.__version__,
        "at the root": lambda: client().feature_extraction(TEXTS).tolist(),
        "at a path": lambda: client("/embed").feature_extraction(TEXTS).tolist(),
        "with fields": lambda: (
            client("/embed")
            .feature_extraction(
                "rates", prompt_name="query", normalize=True, truncate=True, truncation_direction="left"
            )
            .tolist()
        ),
        "similarity": lambda: client("/similarity").sentence_similarity(TEXTS[0], other_sentences=TEXTS),
        "info": lambda: client().get_endpoint_info()["model_id"],
        "health": lambda: client().health_check(),
        "wrong key": lambda: client(token="wrong").feature_extraction(TEXTS),
        "empty": lambda: client("/embed").feature_extraction(""),
    }
)
