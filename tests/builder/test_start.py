import signal
import subprocess
import sys

PROGRAM = """
import os, signal, sys, types
import builder
from builder import start
builder.cli = types.ModuleType("builder.cli")
builder.cli.main = lambda: os.kill(os.getpid(), signal.SIGINT)
start.main()
"""


def test_an_interrupt_before_the_program_listens_ends_it_without_a_word() -> None:
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGINT, "", "")
