"""Own the download of a model's files on this machine, by the very program that does it inside a build stage.

It puts them where it is told and shows how far they are; which files are wanted and what becomes of them is not its
business.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from builder.console import Console
from builder.errors import FailedError, InternalError
from builder.lock import HubAccess, LockedModel
from builder.trace import StepEvent, TransferEvent

SUBJECT = "cache"  # what the console calls these steps
_TICK_S = 0.25


@dataclass(frozen=True, kw_only=True, slots=True)
class Downloader:
    """How files are fetched: the environment of the program, and how the Hub is reached."""

    environment: Mapping[str, str] = field(repr=False)
    access: HubAccess
    console: Console

    def fetch(self, model: LockedModel, paths: Iterable[str], store: Path) -> None:
        """Download `paths` of `model` into `store`, each verified; raises FailedError with what the program says.

        A failure, and an interrupt too, leaves what has arrived, and the next download goes on from there.
        """
        request = model.fetch_request(paths)
        wanted = {file["sha256"]: file["size"] for file in request["files"].values()}
        with tempfile.TemporaryDirectory(prefix="build-image-") as private, self._step(model, store, wanted):
            spec, said = Path(private, "fetch.json"), Path(private, "stderr")
            spec.write_text(json.dumps(request), encoding="utf-8")
            code = self._run([str(spec), str(store)], environment=self._environment(Path(private)), said=said)
            if code:
                raise _error(said.read_text(encoding="utf-8", errors="replace"), code=code)

    def _environment(self, private: Path) -> dict[str, str]:
        """Give the program the token as the stages do, in a file: what an argument or a variable says, others see."""
        token = private / "hf_token"
        token.touch(mode=0o600)
        token.write_text(self.access.token or "", encoding="utf-8")
        inherited = {name: value for name, value in self.environment.items() if name != "HF_TOKEN"}
        trusted = {"SSL_CERT_FILE": str(self.access.ca_bundle)} if self.access.ca_bundle else {}
        return {**inherited, **trusted, "HF_TOKEN_PATH": str(token)}

    def _run(self, arguments: list[str], *, environment: Mapping[str, str], said: Path) -> int:
        """Run the program to its end, show its lines, and return its exit code; its stderr goes to the file `said`."""
        with resources.as_file(resources.files("builder.templates")) as templates, said.open("wb") as errors:
            # Never from the current folder, where a rendered context has a `stages` of its own.
            command = [sys.executable, "-P", "-m", "stages.fetch_model", *arguments]
            path = os.pathsep.join(filter(None, [str(templates), environment.get("PYTHONPATH")]))
            own = {**environment, "PYTHONPATH": path}
            with subprocess.Popen(command, env=own, stdout=subprocess.PIPE, stderr=errors, text=True) as run:
                try:
                    for line in run.stdout or ():
                        self.console.say(line.rstrip())
                except KeyboardInterrupt:
                    run.kill()  # it must not go on without us
                    raise
            return run.returncode

    @contextmanager
    def _step(self, model: LockedModel, store: Path, wanted: Mapping[str, int]) -> Iterator[None]:
        """Show a step while the block runs, with what `store` has so far of the files `wanted`: sha256 to size."""
        name, ended = f"fetching {model.name}", threading.Event()
        started_s = time.time()
        self.console.event(SUBJECT, StepEvent(step=name, name=name, started_s=started_s))

        def measure() -> None:
            arrived = TransferEvent(
                step=name,
                name=name,
                action="fetching",
                current_bytes=held_bytes(store, wanted),
                total_bytes=sum(wanted.values()),
            )
            self.console.event(SUBJECT, arrived)

        def measure_until_ended() -> None:
            while not ended.wait(_TICK_S):
                measure()

        teller = threading.Thread(target=measure_until_ended, name="download progress")
        teller.start()
        error = "failed"
        try:
            yield
            error = ""
        finally:
            ended.set()
            teller.join()
            measure()
            end = StepEvent(step=name, name=name, started_s=started_s, completed_s=time.time(), error=error)
            self.console.event(SUBJECT, end)


def held_bytes(store: Path, digests: Iterable[str]) -> int:
    """Return the size of what `store` has of the files with these sha256, whole or in part."""
    sizes = 0
    for digest in digests:
        for name in (digest, f"{digest}.partial"):
            with suppress(FileNotFoundError):  # not begun, or renamed between the two
                sizes += (store / name).stat().st_size
    return sizes


def _error(said: str, *, code: int) -> FailedError | InternalError:
    """Make an error of what the program wrote: lines that begin with `error:` or `hint:`."""
    lines = said.splitlines()
    messages = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    hints = [line.removeprefix("hint: ") for line in lines if line.startswith("hint: ")]
    if not messages:
        last = lines[-1] if lines else "no message"
        return InternalError(f"the download program ended with {code}: {last}")
    return FailedError("; ".join(messages), hint=hints[-1] if hints else None)
