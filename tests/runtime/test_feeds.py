from runtime.batch import pad
from runtime.bundle import Input
from runtime.feeds import feeds
from runtime.tokenizer import Entry

BATCH = pad(
    [Entry(ids=(5, 6, 7), type_ids=(0, 0, 1)), Entry(ids=(8,), type_ids=(1,))],
    pad_token_id=9,
    side="left",
)


def test_what_comes_from_the_texts_has_the_type_that_the_bundle_says() -> None:
    inputs = {
        "ids": Input(feed="input_ids", dtype="int32", shape=("batch", "sequence")),
        "position_ids": Input(feed="position_ids", dtype="int64", shape=("batch", "sequence")),
    }
    fed = feeds(inputs, BATCH)
    assert {name: (array.dtype.name, array.tolist()) for name, array in fed.items()} == {
        "ids": ("int32", [[5, 6, 7], [9, 9, 8]]),
        "position_ids": ("int64", [[0, 1, 2], [0, 0, 0]]),
    }


def test_an_adapter_has_the_shape_that_the_bundle_says() -> None:
    batch = pad([Entry(ids=(5,), type_ids=(0,), group=4)], pad_token_id=9, side="left")
    inputs = {name: Input(feed="adapter", dtype="int64", shape=shape) for name, shape in {"a": (), "b": (1,)}.items()}
    fed = feeds(inputs, batch)
    assert {name: (array.shape, array.dtype.name, array.tolist()) for name, array in fed.items()} == {
        "a": ((), "int64", 4),
        "b": ((1,), "int64", [4]),
    }


def test_zeros_have_the_shape_that_the_bundle_says() -> None:
    inputs = {
        "past_key_values.0.key": Input(feed="zeros", dtype="float16", shape=("batch", 8, 0, 128)),
        "image_features": Input(feed="zeros", dtype="float32", shape=(0, 512)),
        "use_cache_branch": Input(feed="zeros", dtype="bool", shape=(1,)),
        "bias": Input(feed="zeros", dtype="int64", shape=("sequence", "batch")),
    }
    fed = feeds(inputs, BATCH)
    assert {name: (array.dtype.name, array.shape, array.sum().item()) for name, array in fed.items()} == {
        "past_key_values.0.key": ("float16", (2, 8, 0, 128), 0),
        "image_features": ("float32", (0, 512), 0),
        "use_cache_branch": ("bool", (1,), 0),
        "bias": ("int64", (3, 2), 0),
    }
