import os
import subprocess
import sys

from builder import owner


def test_a_process_that_runs_has_not_gone() -> None:
    assert owner.has_gone(owner.mark()) is False


def test_a_process_that_has_ended_has_gone() -> None:
    program = "from builder import owner; print(owner.mark())"
    marked = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert owner.has_gone(marked.strip()) is True


def test_a_process_of_another_user_has_not_gone() -> None:
    place, _, _ = owner.mark().rpartition(" ")
    assert owner.has_gone(f"{place} 1") is False  # where the tests run as another user, that may not be signalled


def test_what_another_boot_or_machine_has_made_is_never_left_over() -> None:
    boot, namespace, _ = owner.mark().split(" ")
    gone = 2**22 + 1  # more than Linux counts to
    assert owner.has_gone(f"{boot} {namespace} {gone}") is True
    others = [f"another {namespace} {gone}", f"{boot} pid:[1] {gone}", str(gone), ""]
    assert [owner.has_gone(marked) for marked in others] == [False] * 4


def test_the_mark_has_the_number_of_this_process() -> None:
    assert owner.mark().endswith(f" {os.getpid()}")
