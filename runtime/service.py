"""Own the loaded models, which of them a request means, and what it is answered; ignorant of HTTP and of threads."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from runtime.accuracy import ModelReport
from runtime.admission import Admission
from runtime.bundle import Bundle, Model, Side, Task
from runtime.cgroup import Cgroups
from runtime.errors import InvalidError, LoadingError, UnknownModelError, WorkerError
from runtime.footprint import ceiling_bytes
from runtime.metrics import Metrics

if TYPE_CHECKING:  # the server listens before it pays for importing ONNX Runtime
    from runtime.classifier import Classes, Classifier, Input
    from runtime.embedder import Embedder, Embeddings
    from runtime.golden import Answers, Loaded
    from runtime.reranker import Ranking, Reranker
    from runtime.scheduler import Scheduler
    from runtime.tokenizer import Entry, Text

logger = logging.getLogger(__name__)

# what it takes to begin a run, whatever is in it, in tokens of one thread: measured with 2 threads
_RUN_COST_TOKENS = 8

_MEGA = 10**6

_NOUNS = {"embedding": "embedding model", "reranker": "reranker", "classifier": "classifier"}


class Service:
    """The models of a bundle; nothing is answered before `load` has returned."""

    def __init__(
        self,
        bundle: Bundle,
        *,
        golden: Path,
        accuracy: Mapping[str, ModelReport] = MappingProxyType({}),
        threads: int,
        max_batch_tokens: int,
        admission: Admission,
        metrics: Metrics,
    ) -> None:
        self.metrics = metrics
        self._bundle = bundle
        self.accuracy = accuracy
        self._golden = golden
        self._threads = threads
        self._max_batch_tokens = max_batch_tokens
        self._admission = admission
        self._embedders: dict[str, Embedder] = {}
        self._rerankers: dict[str, Reranker] = {}
        self._classifiers: dict[str, Classifier] = {}  # those of rerankers too
        self._chosen: dict[tuple[tuple[Task, ...], str | None], Model] = {}
        self._scheduler: Scheduler
        self._ready = False
        self._draining = False

    @property
    def models(self) -> Sequence[Model]:
        """The models that are served, loaded or not."""
        return self._bundle.models

    @property
    def ready(self) -> bool:
        """Say whether every model is loaded, and requests are wanted."""
        return self._ready and not self._draining

    @property
    def draining(self) -> bool:
        """Say whether this process is about to end; what comes still is answered."""
        return self._draining

    def drain(self) -> None:
        """Say from now on that this process is not ready, so that requests are sent elsewhere."""
        self._draining = True

    async def work(self, *, underway: Callable[[], int]) -> None:
        """Load every model, and stay until what runs them fails; `underway` counts the requests of this process.

        Raises ModelError, and WorkerError when a thread has died.
        """
        died = asyncio.get_running_loop().create_future()
        await self.load(on_death=died.set_result, underway=underway)
        error = await died
        raise WorkerError(f"a thread that runs the models has died: {error!r}") from error

    async def load(self, *, on_death: Callable[[BaseException], None], underway: Callable[[], int] = lambda: 1) -> None:
        """Load every model, off the event loop; `on_death` is called when nothing can be answered any more.

        Raises BundleError and ModelError.
        """
        started = time.monotonic()
        await asyncio.to_thread(_import_libraries)
        from runtime import golden  # noqa: PLC0415 - as above
        from runtime.scheduler import Scheduler  # noqa: PLC0415

        self._scheduler = Scheduler(
            admission=self._admission, metrics=self.metrics, on_death=on_death, underway=underway
        )
        self._tell_memory()
        answers = await asyncio.to_thread(golden.expected, self._golden, self.models, reports=self.accuracy)
        turns = asyncio.Semaphore(self._threads)  # each takes memory of its own while it is loaded

        async def load_one(model: Model) -> "Loaded":
            async with turns:
                return await asyncio.to_thread(self._load_one, model, answers.get(model.name))

        loaded = await asyncio.gather(*map(load_one, self.models))
        for model, one in zip(self.models, loaded, strict=True):
            self._add(model, one)
        self._ready = True
        logger.info("ready after %.3f s, %d threads", time.monotonic() - started, self._threads)

    def close(self) -> None:
        """Let the threads end; nothing is answered any more."""
        self._scheduler.close()

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
        embedder = self._embedders[self.model("embedding", model).name]
        embedder.width(dimensions)

        def tokenize() -> "list[Entry]":
            entries = embedder.entries(texts, prompt_name=prompt_name, keep=keep)
            return checked(entries, embedder.model, truncate=truncate)

        run = await self._scheduler.run(
            embedder.model.name, tokenize, kind="embed", texts=len(texts), characters=sum(map(len, texts))
        )
        finished = embedder.finish(
            run.rows, run.entries, dimensions=dimensions, normalize=normalize, timings=run.timings
        )
        return embedder.model, finished

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

        def tokenize() -> "list[Entry]":
            entries = reranker.entries(
                query, documents, prompt_name=prompt_name, max_document_tokens=max_document_tokens, keep=keep
            )
            return checked(entries, reranker.model, truncate=truncate)

        characters = len(query) * len(documents) + sum(map(len, documents))
        run = await self._scheduler.run(
            reranker.model.name, tokenize, kind="predict", texts=len(documents), characters=characters
        )
        ranking = reranker.finish(run.rows, run.entries, top_n=top_n, raw_scores=raw_scores)
        return reranker.model, replace(ranking, timings=run.timings)

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

        def tokenize() -> "list[Entry]":
            return checked(classifier.entries(inputs), classifier.model, truncate=truncate)

        characters = sum(len(text) for given in inputs for text in ([given] if isinstance(given, str) else given))
        run = await self._scheduler.run(
            classifier.model.name, tokenize, kind="predict", texts=len(inputs), characters=characters
        )
        classes = classifier.finish(run.rows, run.entries, raw_scores=raw_scores)
        return classifier.model, replace(classes, timings=run.timings)

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

    def _tell_memory(self) -> None:
        """Log the most memory that serving takes, and whether this container may have it."""
        ceiling = ceiling_bytes(self._bundle.models, max_batch_tokens=self._max_batch_tokens)
        limit = Cgroups().memory_limit()
        if ceiling is None:
            logger.info("the most memory is not known; `python3 -m runtime memory` measures it")
        elif limit is not None and limit < ceiling:
            logger.warning("memory: at most %d MB, and this container may have %d MB", ceiling // _MEGA, limit // _MEGA)
        else:
            logger.info("memory: at most %d MB", ceiling // _MEGA)

    def _load_one(self, model: Model, answers: "Answers | None") -> "Loaded":
        from runtime import golden, inference  # noqa: PLC0415 - as above

        loaded = inference.load(model, threads=self._threads)
        graph = f", graph {model.graph}" if model.derivation else ""
        logger.info("loaded %s (%s) from %s%s", model.name, model.task, model.source, graph)
        if answers is not None:
            logger.info("%s gives its golden answers: %s", model.name, golden.compare(loaded, answers).detail)
        return loaded

    def _add(self, model: Model, loaded: "Loaded") -> None:
        from runtime import embedder, inference, reranker  # noqa: PLC0415 - as above

        if isinstance(loaded, embedder.Embedder):
            self._embedders[model.name] = loaded
        elif isinstance(loaded, reranker.Reranker):
            self._rerankers[model.name] = loaded
            self._classifiers[model.name] = loaded.classifier
        else:
            self._classifiers[model.name] = loaded
        self._scheduler.add(
            model.name,
            loaded,
            max_batch_tokens=inference.batch_budget(model, max_batch_tokens=self._max_batch_tokens),
            run_cost_tokens=_RUN_COST_TOKENS * self._threads,
        )

    def _choose(self, *tasks: Task, name: str | None) -> Model:
        """Find the model that is meant among those of the first of `tasks` that has it."""
        if not self._ready:
            raise LoadingError("the models are not loaded yet")
        chosen = self._chosen.get((tasks, name))
        if chosen is None:
            meant = {model.task for model in self.models if name is None or name in {model.name, model.source}}
            chosen = choose(self._bundle, task=next((task for task in tasks if task in meant), tasks[0]), name=name)
            self._chosen[tasks, name] = chosen  # of a name that no model has, nothing is kept
        return chosen


def _import_libraries() -> None:
    """Import what takes longest, so that it is loaded when the event loop imports it."""
    import runtime.scheduler  # noqa: F401, PLC0415 - as above


def checked(entries: list["Entry"], model: Model, *, truncate: bool) -> list["Entry"]:
    """Return entries; raises InvalidError for one that was cut and may not be."""
    for position, entry in enumerate(entries):
        if entry.cut and not truncate:
            tokens = len(entry.ids) + entry.cut
            raise InvalidError(
                f"text `{position}` has `{tokens}` tokens, and `{model.name}` reads `{model.max_length}`"
            )
    return entries


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
