"""Own the most memory that serving takes, by the widths that the bundle states; it measures nothing."""

from collections.abc import Sequence

from runtime.bundle import Model

PROCESS_BYTES = 128 * 2**20  # Python and its libraries, and the texts that wait
LANE_BYTES = 8 * 2**20  # of a lane beside its run: its stack, and what its pool of memory begins with


def ceiling_bytes(models: Sequence[Model], *, max_batch_tokens: int) -> int | None:
    """Return the most bytes that these models and their runs take, None where a model's widths are not known.

    A small one is loaded twice and keeps the memory of three runs: of one alone, and of two beside each other.
    """
    total = PROCESS_BYTES
    for model in models:
        if model.footprint is None:
            return None
        tokens = max(max_batch_tokens, model.max_length)
        run_bytes = LANE_BYTES + tokens * (model.footprint.token_bytes + model.max_length * model.footprint.pair_bytes)
        copies, runs = (2, 3) if model.is_small else (1, 1)
        total += copies * model.footprint.load_bytes + runs * run_bytes
    return total
