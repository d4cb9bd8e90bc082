from typing import Any

import pytest

from builder.footprint import Footprint, ceiling_bytes, estimate

BERT = {"hidden_size": 384, "num_attention_heads": 12, "intermediate_size": 1536}
EXPECTED = Footprint(load_bytes=2000, token_bytes=4 * (4 * 384 + 3 * 1536), pair_bytes=4 * 3 * 12)


def estimated(config: dict[str, Any], *, is_full: bool = True, has_logits: bool = False) -> Footprint | None:
    return estimate(config, size_bytes=1000, has_full_weights=is_full, has_logits=has_logits)


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(BERT, id="BERT"),
        pytest.param({"dim": 384, "n_heads": 12, "hidden_dim": 1536}, id="DistilBERT"),
        pytest.param({"n_embd": 384, "n_head": 12, "n_inner": None}, id="GPT-2, four times as wide within"),
        pytest.param({"text_config": BERT, "hidden_size": 5}, id="a model of texts and pictures"),
    ],
)
def test_the_widths_are_found_by_every_family_s_names(config: dict[str, Any]) -> None:
    assert estimated(config) == EXPECTED


@pytest.mark.parametrize("missing", ["hidden_size", "num_attention_heads"])
def test_a_config_without_widths_tells_nothing(missing: str) -> None:
    assert estimated({key: value for key, value in BERT.items() if key != missing}) is None


def test_weights_of_fewer_bits_become_wider_in_memory() -> None:
    narrow = estimated(BERT, is_full=False)
    assert narrow is not None
    assert narrow.load_bytes == 4000


def test_logits_have_a_row_of_the_vocabulary_for_each_token() -> None:
    with_logits = estimated({**BERT, "vocab_size": 1000}, has_logits=True)
    assert with_logits is not None
    assert with_logits.token_bytes == EXPECTED.token_bytes + 8000


def test_logits_of_a_vocabulary_that_is_not_told_are_not_known() -> None:
    assert estimated(BERT, has_logits=True) is None


def test_a_server_s_ceiling_is_not_known_where_one_model_s_is_not() -> None:
    assert ceiling_bytes([(EXPECTED, 256), (None, 256)]) is None
