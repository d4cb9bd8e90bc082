import pytest

from runtime.admission import Admission, Room
from runtime.errors import OverloadedError


def refusal(admission: Admission) -> OverloadedError:
    with pytest.raises(OverloadedError) as caught, admission.admit(entries=1, tokens=1):
        pass
    return caught.value


def test_a_request_of_any_size_comes_in_while_anything_is_free() -> None:
    admission = Admission(max_entries=2, max_tokens=100)
    with admission.admit(entries=1, tokens=99), admission.admit(entries=5000, tokens=1_000_000):
        assert admission.entries == 5001


@pytest.mark.parametrize(("entries", "tokens"), [(2, 1), (1, 100)])
def test_nothing_comes_in_where_entries_or_tokens_are_used_up(entries: int, tokens: int) -> None:
    admission = Admission(max_entries=2, max_tokens=100)
    with admission.admit(entries=entries, tokens=tokens):
        assert refusal(admission).message == (
            f"the server works on `{entries}` texts of about `{tokens}` tokens and takes no more for now"
        )


def test_room_is_given_back_by_those_that_fail_too() -> None:
    admission = Admission(max_entries=1, max_tokens=1)
    with pytest.raises(ValueError, match="failed"), admission.admit(entries=1, tokens=1):
        raise ValueError("failed")
    with admission.admit(entries=1, tokens=1):
        assert admission.entries == 1


@pytest.mark.parametrize(
    ("batches", "retry_after_s"),
    [
        pytest.param([], 1, id="nothing is measured yet"),
        pytest.param([(8, 0.4)], 5, id="100 entries of 0.05 s"),
        pytest.param([(1, 0.05), (2, 0.28)], 6, id="and of a little more lately"),
        pytest.param([(1, 0.000001)], 1, id="a second at least"),
        pytest.param([(1, 30.0)], 60, id="a minute at most"),
    ],
)
def test_who_is_refused_is_told_when_the_work_will_be_done(
    batches: list[tuple[int, float]], retry_after_s: int
) -> None:
    admission = Admission(max_entries=100, max_tokens=1000)
    for entries, seconds in batches:
        admission.measure(entries=entries, seconds=seconds)
    with admission.admit(entries=100, tokens=1):
        assert refusal(admission).retry_after_s == retry_after_s


def test_a_room_is_full_at_its_limit_and_not_before() -> None:
    room = Room(10)
    with room.hold(9):
        was_full = room.full
        with room.hold(1):
            assert (was_full, room.full) == (False, True)
    assert room.held == 0
