import re
from io import StringIO

import pytest

from builder import progress
from builder.console import Console


def timeless(err: StringIO) -> str:
    return re.sub(r"^ +[\d.]+s", "TIME", err.getvalue())


def test_a_step_is_told_with_the_bytes_that_went_by() -> None:
    err = StringIO()
    with progress.step(Console(out=None, err=err), "supplies", "copying", total_bytes=3000) as advance:
        advance(1000)
        advance(2000)
    assert timeless(err) == "TIME supplies: copying 3 kB\n"


def test_more_bytes_than_were_foreseen_are_no_harm() -> None:
    err = StringIO()
    with progress.step(Console(out=None, err=err), "supplies", "copying", total_bytes=1) as advance:
        advance(2000)
    assert timeless(err) == "TIME supplies: copying 2 kB\n"


def test_a_step_that_fails_says_so() -> None:
    err = StringIO()
    with pytest.raises(ZeroDivisionError), progress.step(Console(out=None, err=err), "a", "b", total_bytes=0):
        raise ZeroDivisionError
    assert err.getvalue() == "  failed  a: b\n"
