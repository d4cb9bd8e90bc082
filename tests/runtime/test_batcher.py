import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from runtime.batcher import LANES, Batcher, Ran, Rows
from runtime.errors import InferenceError
from runtime.tokenizer import Entry

LIMIT_S = 20


def entry(number: int, *, length: int = 4, group: int = 0) -> Entry:
    return Entry(ids=(number,) * length, type_ids=(0,) * length, group=group)


class Model:
    """Answers each entry with its number, and notes which ran together; while it is shut, runs do not end."""

    def __init__(
        self,
        *,
        poison: int | None = None,
        death: int | None = None,
        blank: int | None = None,
        batches: list[list[int]] | None = None,
    ) -> None:
        self.batches: list[list[int]] = [] if batches is None else batches
        self.beside: list[bool] = []
        self.threads: list[str] = []
        self.open = threading.Event()
        self.open.set()
        self._begun = threading.Semaphore(0)
        self._poison, self._death, self._blank = poison, death, blank

    def forward(self, entries: Sequence[Entry], *, beside: bool) -> NDArray[np.float32]:
        numbers = [item.ids[0] for item in entries]
        self.beside.append(beside)
        self.threads.append(threading.current_thread().name)
        self._begun.release()
        self.open.wait(LIMIT_S)
        self.batches.append(numbers)
        if self._poison in numbers:
            raise InferenceError("poison")
        if self._death in numbers:
            raise SystemExit("death")
        rows = np.array([[number] for number in numbers], dtype=np.float32)
        rows[rows == self._blank] = np.nan
        return rows

    async def begun(self) -> None:
        """Wait until one more run has begun."""
        assert await asyncio.to_thread(self._begun.acquire, timeout=LIMIT_S)


@asynccontextmanager
async def batcher_of(
    *models: Model,
    ran: list[Ran] | None = None,
    deaths: list[BaseException] | None = None,
    budget: int = 64,
    standstill_s: float = 0,
    underway: int = 1,
) -> AsyncIterator[Batcher]:
    batcher = Batcher(
        on_batch=([] if ran is None else ran).append,
        on_death=([] if deaths is None else deaths).append,
        standstill_s=standstill_s,
        underway=lambda: underway,
    )
    for number, model in enumerate(models):
        batcher.add(str(number), model, max_batch_tokens=budget, run_cost_tokens=8)
    try:
        yield batcher
    finally:
        batcher.close()


def running(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, LIMIT_S))


async def occupied(batcher: Batcher, model: Model) -> list["asyncio.Task[Rows]"]:
    """Give every lane a run that does not end, so that what comes now has to wait."""
    model.open.clear()
    tasks = []
    for _ in range(LANES):
        tasks.append(asyncio.create_task(batcher.run("0", [entry(0)])))
        await model.begun()
    return tasks


async def asked(batcher: Batcher, name: str, *entries: Entry) -> "asyncio.Task[Rows]":
    """Ask, and come back when it waits."""
    task = asyncio.create_task(batcher.run(name, entries))
    await asyncio.sleep(0)
    return task


def test_rows_come_in_the_order_of_the_entries() -> None:
    async def test() -> None:
        async with batcher_of(Model()) as batcher:
            entries = [entry(number, length=length) for number, length in enumerate([9, 30, 2, 64, 8, 31, 63])]
            result = await batcher.run("0", entries)
            assert result.rows.tolist() == [[0], [1], [2], [3], [4], [5], [6]]

    running(test())


def test_entries_of_several_requests_share_a_batch_that_forms_while_others_run() -> None:
    async def test() -> None:
        model = Model()
        async with batcher_of(model) as batcher:
            before = await occupied(batcher, model)
            waiting = [await asked(batcher, "0", entry(number)) for number in (1, 2, 3)]
            model.open.set()
            answers = await asyncio.gather(*waiting, *before)
        assert sorted(model.batches) == [[0], [0], [1, 2, 3]]
        assert [answer.rows.tolist() for answer in answers[:3]] == [[[1]], [[2]], [[3]]]

    running(test())


def test_a_large_request_is_split_by_the_budget() -> None:
    async def test() -> None:
        model = Model()
        async with batcher_of(model, budget=16) as batcher:
            await batcher.run("0", [entry(number) for number in range(10)])
        assert sorted(len(batch) for batch in model.batches) == [2, 4, 4]

    running(test())


def test_entries_of_two_groups_do_not_share_a_batch() -> None:
    async def test() -> None:
        model = Model()
        async with batcher_of(model) as batcher:
            await batcher.run("0", [entry(number, group=number % 2) for number in range(4)])
        assert sorted(model.batches) == [[0, 2], [1, 3]]

    running(test())


def test_a_run_has_the_whole_processor_where_nothing_runs_beside_it_or_waits() -> None:
    async def test() -> None:
        model = Model()
        async with batcher_of(model) as batcher:
            tasks = await occupied(batcher, model)
            model.open.set()
            await asyncio.gather(*tasks)
            await batcher.run("0", [entry(1)])
            await batcher.run("0", [entry(2)])
        assert model.beside == [False, True, False, False]

    running(test())


def test_a_request_of_several_batches_has_half_of_the_processor_for_each() -> None:
    async def test() -> None:
        model = Model()
        async with batcher_of(model, budget=4) as batcher:
            await batcher.run("0", [entry(1), entry(2), entry(3), entry(4)])
        assert model.beside[:3] == [True, True, True]

    running(test())


@pytest.mark.parametrize(
    ("standstill_s", "underway", "numbers", "expected"),
    [
        (LIMIT_S, 1, [2], "MainThread"),
        (LIMIT_S, 1, [2, 3], "lane"),
        (LIMIT_S, 2, [2], "lane"),
        (0, 1, [2], "lane"),
    ],
)
def test_one_entry_of_the_only_request_that_does_not_take_long_is_run_on_the_event_loop(
    standstill_s: float, underway: int, numbers: list[int], expected: str
) -> None:
    async def test() -> None:
        model = Model()
        async with batcher_of(model, standstill_s=standstill_s, underway=underway) as batcher:
            await batcher.run("0", [entry(1)])  # how long one takes is not known yet
            answer = await batcher.run("0", [entry(number) for number in numbers])
        assert answer.rows.tolist() == [[number] for number in numbers]
        assert [name.partition("-")[0] for name in model.threads] == ["lane", expected]

    running(test())


def test_an_entry_that_fails_on_the_event_loop_fails_alone() -> None:
    async def test() -> None:
        async with batcher_of(Model(poison=2), standstill_s=LIMIT_S) as batcher:
            await batcher.run("0", [entry(1)])
            with pytest.raises(InferenceError, match="poison"):
                await batcher.run("0", [entry(2)])
            assert (await batcher.run("0", [entry(3)])).rows.tolist() == [[3]]

    running(test())


def test_what_comes_while_others_run_waits_for_a_lane() -> None:
    async def test() -> None:
        model = Model()
        async with batcher_of(model, standstill_s=LIMIT_S) as batcher:
            before = await occupied(batcher, model)
            waiting = await asked(batcher, "0", entry(1))
            model.open.set()
            await asyncio.gather(waiting, *before)
        assert [name.partition("-")[0] for name in model.threads] == ["lane"] * 3

    running(test())


def test_models_take_turns() -> None:
    async def test() -> None:
        busy = Model()
        quiet = Model(batches=busy.batches)
        async with batcher_of(busy, quiet, budget=4) as batcher:
            before = await occupied(batcher, busy)
            crowd = await asked(batcher, "0", *[entry(number) for number in range(1, 200)])
            single = await asked(batcher, "1", entry(-1))
            busy.open.set()
            await asyncio.gather(crowd, single, *before)
        assert [-1] in busy.batches[: 3 * LANES]

    running(test())


def test_a_failing_batch_fails_for_the_entry_alone_that_brings_it_about() -> None:
    async def test() -> None:
        model = Model(poison=5)
        async with batcher_of(model) as batcher:
            before = await occupied(batcher, model)
            waiting = [await asked(batcher, "0", entry(number)) for number in range(1, 9)]
            model.open.set()
            answers = await asyncio.gather(*waiting, *before, return_exceptions=True)
        failed = [number for number, answer in enumerate(answers, start=1) if isinstance(answer, InferenceError)]
        assert failed == [5]

    running(test())


def test_a_request_with_an_entry_that_fails_is_answered_with_what_failed() -> None:
    async def test() -> None:
        async with batcher_of(Model(poison=2)) as batcher:
            with pytest.raises(InferenceError, match="poison"):
                await batcher.run("0", [entry(number) for number in range(4)])

    running(test())


def test_a_row_that_is_not_finite_fails_alone() -> None:
    async def test() -> None:
        model = Model(blank=2)
        async with batcher_of(model) as batcher:
            before = await occupied(batcher, model)
            waiting = [await asked(batcher, "0", entry(number)) for number in (1, 2, 3)]
            model.open.set()
            answers = await asyncio.gather(*waiting, *before, return_exceptions=True)
        assert [isinstance(answer, InferenceError) for answer in answers[:3]] == [False, True, False]

    running(test())


def test_what_a_cancelled_request_waited_for_is_not_run() -> None:
    async def test() -> None:
        model = Model()
        async with batcher_of(model) as batcher:
            before = await occupied(batcher, model)
            waiting = [await asked(batcher, "0", entry(number)) for number in (1, 2, 3)]
            waiting[1].cancel()
            await asyncio.wait([waiting[1]])
            model.open.set()
            await asyncio.gather(waiting[0], waiting[2], *before)
        assert sorted(model.batches) == [[0], [0], [1, 3]]

    running(test())


def test_a_caller_who_leaves_during_the_run_harms_nobody() -> None:
    async def test() -> None:
        model = Model()
        async with batcher_of(model) as batcher:
            left, stayed = await occupied(batcher, model)
            left.cancel()
            model.open.set()
            await stayed
            assert (await batcher.run("0", [entry(7)])).rows.tolist() == [[7]]

    running(test())


def test_a_thread_that_dies_answers_all_and_is_told() -> None:
    async def test() -> None:
        deaths: list[BaseException] = []
        model = Model(death=1)
        async with batcher_of(model, deaths=deaths) as batcher:
            waiting = [await asked(batcher, "0", entry(1)), await asked(batcher, "0", entry(200, length=60))]
            answers = await asyncio.gather(*waiting, return_exceptions=True)
            assert isinstance(answers[0], InferenceError)
            assert [type(death) for death in deaths] == [SystemExit]
            with pytest.raises(InferenceError, match="have ended"):
                await batcher.run("0", [entry(2)])

    running(test())


def test_each_batch_is_reported() -> None:
    async def test() -> None:
        ran: list[Ran] = []
        async with batcher_of(Model(), ran=ran) as batcher:
            await batcher.run("0", [entry(1, length=4), entry(2, length=6)])
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert [(batch.entries, batch.tokens, batch.waiting) for batch in ran] == [(2, 12, 0)]

    running(test())


def test_waiting_and_running_are_timed() -> None:
    async def test() -> None:
        async with batcher_of(Model()) as batcher:
            result = await batcher.run("0", [entry(1)])
            assert (result.queue_s > 0, result.inference_s > 0) == (True, True)

    running(test())
