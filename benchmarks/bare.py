"""Own the limit: ONNX Runtime in a loop in one process, with nothing around it; run by `benchmarks/serving.py`.

It is told what to do by lines of JSON, so that its rounds and those of a server take turns in the same minutes.
"""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

MAX_LENGTH = 256


class Bare:
    """The model with ONNX Runtime's own settings, but for the number of threads."""

    def __init__(self, folder: Path, *, threads: int) -> None:
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(MAX_LENGTH)
        self._tokenizer.no_padding()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(
            str(folder / "onnx" / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Count tokens."""
        return [len(encoding.ids) for encoding in self._tokenizer.encode_batch_fast(list(texts))]

    def embed(self, texts: Sequence[str], *, batch_size: int) -> NDArray[np.float32]:
        """Tokenize all, and run batches of so many, sorted by length."""
        ids = [encoding.ids for encoding in self._tokenizer.encode_batch_fast(list(texts))]
        order = sorted(range(len(ids)), key=lambda at: -len(ids[at]))
        vectors = np.concatenate(
            [
                self._run([ids[at] for at in order[start : start + batch_size]])
                for start in range(0, len(ids), batch_size)
            ]
        )
        return vectors[np.argsort(order)]

    def _run(self, batch: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        longest = max(map(len, batch))
        input_ids = np.zeros((len(batch), longest), dtype=np.int64)
        mask = np.zeros_like(input_ids)
        for row, ids in enumerate(batch):
            input_ids[row, : len(ids)] = ids
            mask[row, : len(ids)] = 1
        feeds = {"input_ids": input_ids, "attention_mask": mask, "token_type_ids": np.zeros_like(input_ids)}
        (states,) = self._session.run(["last_hidden_state"], feeds)
        weights = mask.astype(np.float32)
        means = np.matmul(weights[:, None, :], states)[:, 0, :] / weights.sum(axis=1, keepdims=True)
        vectors: NDArray[np.float32] = means / np.linalg.norm(means, axis=1, keepdims=True)
        return vectors


def answers(bare: Bare) -> Iterator[dict[str, Any]]:
    """Do what each line of the input asks for."""
    for line in sys.stdin:
        asked = json.loads(line)
        texts = asked["texts"]
        match asked["do"]:
            case "count":
                yield {"lengths": bare.lengths(texts)}
            case "embed":
                yield {"vectors": bare.embed(texts, batch_size=1).tolist()}
            case "bulk":
                yield {"seconds": _seconds(bare, texts, batch_size=asked["batch_size"])}
            case "queries":
                yield {"latencies_s": [_seconds(bare, [text], batch_size=1) for text in texts]}


def _seconds(bare: Bare, texts: Sequence[str], *, batch_size: int) -> float:
    started = time.perf_counter()
    bare.embed(texts, batch_size=batch_size)
    return time.perf_counter() - started


def main() -> None:
    bare = Bare(Path(sys.argv[1]), threads=int(sys.argv[2]))
    for answer in answers(bare):
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
