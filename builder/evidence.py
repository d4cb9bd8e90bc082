"""Own what is read of one model before anything about it is decided, and what is the same for every task."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from builder import limits
from builder.errors import InputError
from builder.graph import Graph, GraphValue, read_graph
from builder.inputs import Input, decide_inputs
from builder.manifest import Model
from builder.repository import Repository, read_json_object
from builder.selection import external_data_paths, graph_path
from builder.sentence_transformers import SentenceFiles, read_sentence_files


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """What the manifest and the repository say of one model; `external_data` has paths of the repository."""

    model: Model
    repository: Repository
    graph_path: str
    graph: Graph
    external_data: tuple[str, ...]
    inputs: Mapping[str, Input]
    config: Mapping[str, Any]
    sentence: SentenceFiles
    max_length: int
    pad_token_id: int
    padding_side: limits.Side
    first_position: int

    @property
    def takes_adapter(self) -> bool:
        """Whether the graph wants to know which LoRA adapter a run is for."""
        return any(value.feed == "adapter" for value in self.inputs.values())

    @property
    def source(self) -> str:
        """The repository's name."""
        return self.repository.source

    def undecided(self, key: str, what: str, *, hint: str = "") -> InputError:
        """Return the refusal to guess: neither side says `what`, and `key` would."""
        message = f"neither the manifest nor `{self.source}` says {what}"
        return InputError(message, hint=f"set `models.{self.model.name}.{key}`{hint}")


def gather(model: Model, repository: Repository) -> Evidence:
    """Read what `repository` says of `model`; raises InputError for what is missing or can't be fed."""
    path = graph_path(model, repository)
    with repository.open(path) as stream:
        graph = read_graph(stream, path=path)
    config = read_json_object(repository, "config.json")
    sentence = read_sentence_files(repository)
    _check_case(sentence, repository)
    inputs = decide_inputs(graph, path=path)
    has_positions = any(value.feed == "position_ids" for value in inputs.values())
    return Evidence(
        model=model,
        repository=repository,
        graph_path=path,
        graph=graph,
        external_data=external_data_paths(path, graph.external_data, repository),
        inputs=inputs,
        config=config,
        sentence=sentence,
        max_length=limits.max_length(
            repository,
            config,
            name=model.name,
            wanted=model.max_length,
            max_seq_length=sentence.max_seq_length,
        ),
        pad_token_id=limits.pad_token_id(repository, config),
        padding_side="right" if graph.needs_padding_right else limits.padding_side(repository),
        first_position=limits.first_position(repository, config) if has_positions else 0,
    )


def _check_case(sentence: SentenceFiles, repository: Repository) -> None:
    """Refuse a model that sentence-transformers would give lower case only, when its tokenizer makes none."""
    normalizer = read_json_object(repository, "tokenizer.json").get("normalizer")
    if sentence.lowercases and not _makes_lower_case(normalizer):
        message = f"`{repository.source}` says `do_lower_case`, but its `tokenizer.json` does not make texts lower case"
        raise InputError(message, hint="add a `Lowercase` normalizer to tokenizer.json, or correct the config")


def _makes_lower_case(normalizer: Any) -> bool:  # noqa: ANN401 - a stranger's JSON
    if not isinstance(normalizer, dict):
        return False
    if normalizer.get("type") == "Sequence":
        return any(map(_makes_lower_case, normalizer.get("normalizers") or []))
    return normalizer.get("type") == "Lowercase" or normalizer.get("lowercase") is True


def output(evidence: Evidence, known: tuple[str, ...]) -> GraphValue:
    """Choose the graph's output: the manifest's, else the first of the `known` names that the graph has."""
    outputs = {value.name: value for value in evidence.graph.outputs}
    wanted = evidence.model.output
    if wanted is not None and wanted not in outputs:
        hint = f"set `models.{evidence.model.name}.output` to one of: {', '.join(outputs)}"
        raise InputError(f"`{evidence.graph_path}` of `{evidence.source}` has no output `{wanted}`", hint=hint)
    for name in [wanted] if wanted is not None else known:
        if name in outputs:
            return outputs[name]
    raise evidence.undecided("output", "which output of the graph to read", hint=f" to one of: {', '.join(outputs)}")
