"""Own the files that sentence-transformers saves beside a model, in its old and new layouts; it decides nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from builder.errors import InputError
from builder.repository import Repository, read_json, read_json_object

# Up to release 5.3 a pooling mode is a switch; several are concatenated in this order.
_POOLING_SWITCHES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_DEFAULT_POOLING = "mean"
_POOLING_FOLDER = "1_Pooling"
_TRANSFORMER_CONFIGS = (
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Pooling:
    """How token vectors become one vector: each mode's vector, concatenated."""

    modes: tuple[str, ...]
    includes_prompt: bool
    width: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Module:
    """One step of the pipeline; only the last part of its class's path counts, as classes move between packages."""

    class_name: str
    folder: str
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class SentenceFiles:
    """What the files say; `modules` are in the order of the pipeline, None without `modules.json`.

    `lowercases` asks for texts in lower case even if the tokenizer itself keeps upper case.
    """

    modules: tuple[Module, ...] | None
    pooling: Pooling | None
    max_seq_length: int | None
    lowercases: bool = False
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt: str | None = None
    activation_class: str | None = None


def read_sentence_files(repository: Repository) -> SentenceFiles:
    """Read every such file that `repository` has; raises InputError when one is not what it should be."""
    modules = _read_modules(repository)
    settings = read_json_object(repository, "config_sentence_transformers.json")
    transformers = [read_json_object(repository, path) for path in _TRANSFORMER_CONFIGS]
    prompts = settings.get("prompts") or {}
    return SentenceFiles(
        modules=modules,
        pooling=_read_pooling(repository, modules or ()),
        max_seq_length=_max_seq_length(transformers),
        lowercases=any(config.get("do_lower_case") is True for config in transformers),
        prompts={name: prompt for name, prompt in prompts.items() if isinstance(prompt, str)},
        default_prompt=settings.get("default_prompt_name"),
        activation_class=settings.get("activation_fn"),
    )


def _read_modules(repository: Repository) -> tuple[Module, ...] | None:
    listed = read_json(repository, "modules.json")
    if listed is None:
        return None
    try:
        named = [(module["type"].rpartition(".")[2], module["path"].rstrip("/")) for module in listed]
    except (TypeError, KeyError, AttributeError) as error:
        message = f"`modules.json` of `{repository.source}` is not a list of modules with a type and a path"
        raise InputError(message) from error
    return tuple(
        Module(
            class_name=class_name,
            folder=folder,
            config=read_json_object(repository, f"{folder}/config.json") if folder else {},
        )
        for class_name, folder in named
    )


def _read_pooling(repository: Repository, modules: Sequence[Module]) -> Pooling | None:
    named = [module.config for module in modules if module.class_name == "Pooling"]
    config = named[0] if named else read_json_object(repository, f"{_POOLING_FOLDER}/config.json")
    if not config:
        return None
    return Pooling(
        modes=_pooling_modes(config),
        includes_prompt=config.get("include_prompt", True) is not False,
        width=config.get("embedding_dimension", config.get("word_embedding_dimension")),
    )


def _pooling_modes(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Parse one pooling config; from release 5.4 on `pooling_mode` names the modes and the switches count no more."""
    named = config.get("pooling_mode")
    if isinstance(named, str):
        return (named,)
    if isinstance(named, list):
        return tuple(map(str, named))
    switched_on = tuple(mode for switch, mode in _POOLING_SWITCHES.items() if config.get(switch))
    return switched_on or (_DEFAULT_POOLING,)


def _max_seq_length(transformers: Sequence[Mapping[str, Any]]) -> int | None:
    lengths = [config.get("max_seq_length") for config in transformers]
    return next((length for length in lengths if isinstance(length, int)), None)
