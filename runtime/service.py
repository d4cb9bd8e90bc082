"""Own the loaded models, which of them a request means, and the one thread that they run in; ignorant of HTTP."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from runtime.bundle import Bundle, Model, Side, Task
from runtime.errors import InvalidError, LoadingError, UnknownModelError

if TYPE_CHECKING:  # the server listens before it pays for importing ONNX Runtime
    import numpy as np
    from numpy.typing import NDArray

    from runtime.classifier import Classes, Classifier, Input
    from runtime.embedder import Embedder, Embeddings
    from runtime.golden import Answers
    from runtime.reranker import Ranking, Reranker
    from runtime.tokenizer import Entry, Text

logger = logging.getLogger(__name__)

P = ParamSpec("P")
Result = TypeVar("Result")

_NOUNS = {"embedding": "embedding model", "reranker": "reranker", "classifier": "classifier"}


class Service:
    """The models of a bundle; nothing is answered before `load` has returned."""

    def __init__(self, bundle: Bundle, *, golden: Path, threads: int, max_batch_tokens: int) -> None:
        self._bundle = bundle
        self._golden = golden
        self._threads = threads
        self._max_batch_tokens = max_batch_tokens
        self._embedders: dict[str, Embedder] = {}
        self._rerankers: dict[str, Reranker] = {}
        self._classifiers: dict[str, Classifier] = {}  # those of rerankers too
        self._ready = False
        # a graph uses every thread that there is, so a second one beside it would only make both slow
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="inference")

    @property
    def models(self) -> Sequence[Model]:
        """The models that are served, loaded or not."""
        return self._bundle.models

    @property
    def ready(self) -> bool:
        """Say whether every model is loaded."""
        return self._ready

    async def load(self) -> None:
        """Load every model, off the event loop, and hold it to its golden answers where some were baked.

        Raises BundleError and ModelError.
        """
        started = time.monotonic()
        golden = await self._in_worker(self._read_golden)
        for model in self._bundle.models:
            await self._in_worker(self._load_one, model, golden.get(model.name))
            logger.info("loaded %s (%s) from %s", model.name, model.task, model.source)
        self._ready = True
        logger.info("ready after %.3f s, %d threads", time.monotonic() - started, self._threads)

    async def embed(
        self,
        texts: Sequence["Text"],
        *,
        model: str | None,
        prompt_name: str | None = None,
        dimensions: int | None = None,
        normalize: bool | None = None,
        truncate: bool = True,
        keep: Side = "left",
    ) -> tuple[Model, "Embeddings"]:
        """Embed texts with the model that is meant, and say which that is; too long ones `keep` that side.

        Raises RequestError, for a text that is too long too unless it may be cut by `truncate`.
        """
        from runtime.embedder import Embeddings  # noqa: PLC0415 - as above

        embedder = self._embedders[self.model("embedding", model).name]
        embedder.width(dimensions)
        entries = embedder.entries(texts, prompt_name=prompt_name, keep=keep)
        _check_length(entries, embedder.model, truncate=truncate)
        rows = await self._run(embedder, entries)
        return embedder.model, Embeddings(
            vectors=embedder.finish(rows, dimensions=dimensions, normalize=normalize),
            tokens=sum(len(entry.ids) for entry in entries),
            truncated=sum(entry.cut > 0 for entry in entries),
        )

    async def rerank(
        self,
        query: str,
        documents: Sequence[str],
        *,
        model: str | None,
        prompt_name: str | None = None,
        top_n: int | None = None,
        raw_scores: bool = False,
        truncate: bool = True,
        keep: Side = "left",
        max_document_tokens: int | None = None,
    ) -> tuple[Model, "Ranking"]:
        """Rank documents with the model that is meant, and say which that is; raises as `embed` does."""
        reranker = self._rerankers[self.model("reranker", model).name]
        entries = reranker.entries(
            query, documents, prompt_name=prompt_name, max_document_tokens=max_document_tokens, keep=keep
        )
        _check_length(entries, reranker.model, truncate=truncate)
        rows = await self._run(reranker, entries)
        return reranker.model, reranker.finish(rows, entries, top_n=top_n, raw_scores=raw_scores)

    async def classify(
        self,
        inputs: Sequence["Input"],
        *,
        model: str | None,
        raw_scores: bool = False,
        truncate: bool = True,
    ) -> tuple[Model, "Classes"]:
        """Score texts or pairs by the labels of the classifier or reranker that is meant; raises as `embed` does."""
        classifier = self._classifiers[self._choose("classifier", "reranker", name=model).name]
        entries = classifier.entries(inputs)
        _check_length(entries, classifier.model, truncate=truncate)
        rows = await self._run(classifier, entries)
        return classifier.model, classifier.finish(rows, entries, raw_scores=raw_scores)

    def model(self, task: Task, name: str | None) -> Model:
        """Find the model that is meant.

        Raises LoadingError before it is loaded, and what `choose` raises.
        """
        return self._choose(task, name=name)

    def loaded(self, name: str | None) -> "Embedder | Classifier":
        """Find the model that is meant, of any task: without a name, the first one that embeds, else the first.

        Raises as `model` does.
        """
        first: Task = "embedding" if self._embedders else self.models[0].task
        model = self.model(first if name is None else find(self.models, name).task, name)
        return self._embedders.get(model.name) or self._classifiers[model.name]

    def _read_golden(self) -> Mapping[str, "Answers"]:
        from runtime import golden  # noqa: PLC0415 - as above, and in the worker, so the loop goes on

        return golden.read(self._golden)

    def _load_one(self, model: Model, answers: "Answers | None") -> None:
        from runtime import embedder, golden, inference, reranker  # noqa: PLC0415 - as above

        loaded = inference.load(model, threads=self._threads)
        if answers is not None:
            logger.info("%s gives its golden answers: %s", model.name, golden.compare(loaded, answers))
        if isinstance(loaded, embedder.Embedder):
            self._embedders[model.name] = loaded
        elif isinstance(loaded, reranker.Reranker):
            self._rerankers[model.name] = loaded
            self._classifiers[model.name] = loaded.classifier
        else:
            self._classifiers[model.name] = loaded

    def _choose(self, *tasks: Task, name: str | None) -> Model:
        """Find the model that is meant among those of the first of `tasks` that has it."""
        if not self._ready:
            raise LoadingError("the models are not loaded yet")
        meant = {model.task for model in self._bundle.models if name is None or name in {model.name, model.source}}
        return choose(self._bundle, task=next((task for task in tasks if task in meant), tasks[0]), name=name)

    async def _run(
        self, model: "Embedder | Reranker | Classifier", entries: Sequence["Entry"]
    ) -> "NDArray[np.float32]":
        from runtime import inference  # noqa: PLC0415 - as above

        return await self._in_worker(inference.run, model, entries, max_batch_tokens=self._max_batch_tokens)

    async def _in_worker(self, call: Callable[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._worker, lambda: call(*args, **kwargs))


def _check_length(entries: Sequence["Entry"], model: Model, *, truncate: bool) -> None:
    for position, entry in enumerate(entries):
        if entry.cut and not truncate:
            tokens = len(entry.ids) + entry.cut
            raise InvalidError(
                f"text `{position}` has `{tokens}` tokens, and `{model.name}` reads `{model.max_length}`"
            )


def choose(bundle: Bundle, *, task: Task, name: str | None) -> Model:
    """Find the model that a request means, by its name or its source; the only one of its task needs no name.

    Raises UnknownModelError, or InvalidError where a name is needed.
    """
    candidates = [model for model in bundle.models if model.task == task]
    noun = _NOUNS[task]
    if not candidates:
        raise UnknownModelError(f"there is no {noun} here", param="model")
    if name is None:
        if len(candidates) > 1:
            raise InvalidError(f"there is more than one {noun} here, name {_one_of(candidates)}", param="model")
        return candidates[0]
    meant = [model for model in candidates if model.name == name]
    meant = meant or [model for model in candidates if model.source == name]
    if not meant:
        raise UnknownModelError(f"no {noun} here is called `{name}`, name {_one_of(candidates)}", param="model")
    if len(meant) > 1:
        raise InvalidError(f"`{name}` is the source of several, name {_one_of(meant)}", param="model")
    return meant[0]


def find(models: Sequence[Model], name: str) -> Model:
    """Find a model of any task by its name or source, the first of several.

    Raises UnknownModelError.
    """
    found = [model for model in models if model.name == name] or [model for model in models if model.source == name]
    if not found:
        raise UnknownModelError(f"no model here is called `{name}`, name {_one_of(models)}", param="model")
    return found[0]


def _one_of(models: Sequence[Model]) -> str:
    names = ", ".join(f"`{model.name}`" for model in models)
    return f"one of {names}" if len(models) > 1 else names
