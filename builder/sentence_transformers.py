"""Own the files that sentence-transformers saves beside a model, in its old and new layouts; it decides nothing."""

from collections.abc import Mapping
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
class SentenceFiles:
    """What the files say; `modules` are class names in the order of the pipeline, None without `modules.json`."""

    modules: tuple[str, ...] | None
    pooling: Pooling | None
    max_seq_length: int | None
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt: str | None = None
    activation_class: str | None = None


def read_sentence_files(repository: Repository) -> SentenceFiles:
    """Read every such file that `repository` has; raises InputError when one is not what it should be."""
    modules = _read_modules(repository)
    settings = read_json_object(repository, "config_sentence_transformers.json")
    prompts = settings.get("prompts") or {}
    return SentenceFiles(
        modules=None if modules is None else tuple(modules),
        pooling=_read_pooling(repository, (modules or {}).get("Pooling", "1_Pooling")),
        max_seq_length=_read_max_seq_length(repository),
        prompts={name: prompt for name, prompt in prompts.items() if isinstance(prompt, str)},
        default_prompt=settings.get("default_prompt_name"),
        activation_class=settings.get("activation_fn"),
    )


def _read_modules(repository: Repository) -> dict[str, str] | None:
    """Return the folder of each module by its class; classes have moved between packages, so only the name counts."""
    modules = read_json(repository, "modules.json")
    if modules is None:
        return None
    try:
        return {module["type"].rpartition(".")[2]: module["path"].rstrip("/") for module in modules}
    except (TypeError, KeyError, AttributeError) as error:
        message = f"`modules.json` of `{repository.source}` is not a list of modules with a type and a path"
        raise InputError(message) from error


def _read_pooling(repository: Repository, folder: str) -> Pooling | None:
    config = read_json_object(repository, f"{folder}/config.json")
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


def _read_max_seq_length(repository: Repository) -> int | None:
    for path in _TRANSFORMER_CONFIGS:
        length = read_json_object(repository, path).get("max_seq_length")
        if isinstance(length, int):
            return length
    return None
