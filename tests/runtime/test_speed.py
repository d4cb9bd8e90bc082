from itertools import count

from runtime import golden, inference, speed
from runtime.bundle import Bundle


def test_the_tokens_of_every_round_are_divided_by_the_time_that_the_rounds_took(bundle: Bundle) -> None:
    model = inference.load(bundle.models[0], threads=1)
    tokens = 8 * sum(len(entry.ids) for entry in golden.entries(model))
    ticks = count(step=0.25)  # seconds, at each look at the clock: started, then 0.25, 0.5, 0.75 and 1.0
    measured = speed.tokens_per_second(model, max_batch_tokens=512, clock=lambda: float(next(ticks)))
    assert measured == tokens * 3 / 1.25
