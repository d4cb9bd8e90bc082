"""Own how many tokens a model takes, and which token pads them on which side, all read from its configs."""

import json
import re
from collections.abc import Mapping
from typing import Any, Literal

from builder.errors import InputError
from builder.repository import Repository, read_json_object

Side = Literal["left", "right"]

# Tokenizers without a limit say 10 to the power of 30 (transformers' VERY_LARGE_INTEGER).
_UNLIMITED = 10**6
# The tokenizers library writes version, truncation and padding first.
_HEAD_BYTES = 16 * 2**10
_PADDING_KEY = re.compile(r'"padding"\s*:\s*')
# Families that number positions from the padding token's id plus one, as fairseq did, and so lose those rows.
_OFFSET_FAMILIES = {"camembert", "data2vectext", "longformer", "mpnet", "roberta", "xlmroberta", "xlmrobertaxl", "xmod"}


def max_length(
    repository: Repository, config: Mapping[str, Any], *, name: str, wanted: int | None, max_seq_length: int | None
) -> int:
    """Return the most tokens that one text may have, special ones included.

    `wanted` is what the manifest says of the model `name`, `max_seq_length` what sentence-transformers' files say.
    """
    positions = position_limit(repository, config)
    if wanted is not None:
        if positions is not None and wanted > positions:
            message = f"`models.{name}.max_length` is {wanted}, but `{repository.source}` has positions for {positions}"
            raise InputError(message, hint=f"set it to {positions} or less")
        return wanted
    tokenizer_limit = read_json_object(repository, "tokenizer_config.json").get("model_max_length")
    stated = max_seq_length or tokenizer_limit
    if isinstance(stated, int) and 0 < stated < _UNLIMITED:
        return stated if positions is None else min(stated, positions)
    if positions is None:
        message = f"neither the manifest nor `{repository.source}` says how many tokens a text may have"
        raise InputError(message, hint=f"set `models.{name}.max_length`")
    return positions


def position_limit(repository: Repository, config: Mapping[str, Any]) -> int | None:
    """Return how many tokens the position embeddings allow, None where the config does not say."""
    rows = config.get("max_position_embeddings", config.get("n_positions"))
    return rows - first_position(repository, config) if isinstance(rows, int) else None


def first_position(repository: Repository, config: Mapping[str, Any]) -> int:
    """Return the position of a text's first token."""
    return pad_token_id(repository, config) + 1 if _family(config) in _OFFSET_FAMILIES else 0


def _family(config: Mapping[str, Any]) -> str:
    """Return the model type in plain letters; a config with code of its own may only name the class."""
    architecture = re.sub(r"(Model|For[A-Z]\w*)$", "", str((config.get("architectures") or [""])[0]))
    return re.sub(r"[^a-z0-9]", "", str(config.get("model_type") or architecture).lower())


def pad_token_id(repository: Repository, config: Mapping[str, Any]) -> int:
    """Return the padding token's id: the config's, else that of the token which the tokenizer pads with."""
    stated = config.get("pad_token_id")
    if isinstance(stated, int):
        return stated
    tokenizer = read_json_object(repository, "tokenizer.json")
    padding = tokenizer.get("padding")
    if isinstance(padding, dict) and isinstance(padding.get("pad_id"), int):
        return int(padding["pad_id"])
    token = read_json_object(repository, "tokenizer_config.json").get("pad_token")
    content = token.get("content") if isinstance(token, dict) else token
    for added in tokenizer.get("added_tokens") or []:
        if content is not None and added.get("content") == content:
            return int(added["id"])
    message = f"neither `config.json` nor the tokenizer of `{repository.source}` has a padding token"
    raise InputError(message, hint="add `pad_token_id` to the repository's config.json")


def padding_side(repository: Repository) -> Side:
    """Return the side that the tokenizer pads; transformers' own default, right, where its files say nothing."""
    stated = read_json_object(repository, "tokenizer_config.json").get("padding_side")
    if stated is None:
        stated = _padding(repository).get("direction")
    return "left" if str(stated).lower() == "left" else "right"


def _padding(repository: Repository) -> Mapping[str, Any]:
    """Return what `tokenizer.json` says of padding: at its start, before a vocabulary that can have many megabytes."""
    if "tokenizer.json" not in repository.files:
        return {}
    with repository.open("tokenizer.json") as stream:
        head = stream.read(_HEAD_BYTES).decode(errors="replace")
    key = _PADDING_KEY.search(head)
    if key is None:
        return {}
    try:
        padding, _ = json.JSONDecoder().raw_decode(head, key.end())
    except ValueError as error:
        raise InputError(f"`tokenizer.json` of `{repository.source}` is not JSON: {error}") from error
    return padding if isinstance(padding, dict) else {}
