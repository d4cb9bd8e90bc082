"""Own a running container: commands in it, its log, its state, its end; how the engine is spoken to is `engine`'s."""

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from builder.api import ContainerState, ExecResult
from builder.errors import FailedError

if TYPE_CHECKING:
    from builder.engine import Engine

EXEC_TIMEOUT_S = 60


class Container:
    """A container that runs under `name`."""

    def __init__(self, engine: "Engine", *, name: str) -> None:
        self._engine = engine
        self.name = name

    def exec(
        self, command: Sequence[str], *, stdin: bytes | None = None, timeout_s: float = EXEC_TIMEOUT_S
    ) -> ExecResult:
        """Run `command` inside and wait; `stdin` needs a shell there; silence over `timeout_s` is a FailedError."""
        if stdin is not None:
            # TLS cannot close one direction, so the end of the input is told by its length.
            reader = 'size=$1; shift; head -c "$size" | "$@"'
            command = ["sh", "-c", reader, "stdin", str(len(stdin)), *command]
        action = f"cannot run `{command[0]}` in the container"
        created = self._engine.ask(action, "exec_create", self.name, list(command), stdin=stdin is not None)["Id"]
        try:
            output = self._engine.run_exec(created, stdin=stdin or b"", timeout_s=timeout_s)
        except TimeoutError:
            raise FailedError(f"`{' '.join(command)}` said nothing for {timeout_s:g} s") from None
        exit_code = self._engine.ask(action, "exec_inspect", created)["ExitCode"]
        if exit_code is None:
            raise FailedError(f"`{' '.join(command)}` closed its output and runs on")
        return ExecResult(exit_code=int(exit_code), stdout=output[1], stderr=output[2])

    def logs(self, *, tail: int = 50) -> tuple[str, ...]:
        """Read the last lines of what the container wrote."""
        action = "cannot read the container's log"
        written: bytes = self._engine.ask(action, "logs", self.name, stdout=True, stderr=True, tail=tail)
        return tuple(written.decode(errors="replace").splitlines())

    def state(self) -> ContainerState:
        """Ask how the container is."""
        state = self._engine.ask("cannot inspect the container", "inspect_container", self.name)["State"]
        return ContainerState(
            status=state["Status"],
            exit_code=state["ExitCode"],
            oom_killed=state["OOMKilled"],
            health=(state.get("Health") or {}).get("Status", ""),
        )

    def changes(self) -> tuple[str, ...]:
        """List the paths that differ from the image, each after `C` (changed), `A` (added) or `D` (deleted)."""
        found = self._engine.ask("cannot compare the container with its image", "diff", self.name)
        return tuple(f"{'CAD'[change['Kind']]} {change['Path']}" for change in found or ())

    def address(self, port: int) -> tuple[str, int]:
        """Look up the host's address and port of a published port."""
        found = self._engine.ask("cannot inspect the container", "port", self.name, port)
        if not found:
            raise FailedError(f"port {port} of the container is not published")
        return str(found[0]["HostIp"]), int(found[0]["HostPort"])

    def stop(self, *, timeout_s: int = 10) -> None:
        """Ask the process to end, and kill it after `timeout_s`."""
        self._engine.ask("cannot stop the container", "stop", self.name, timeout=timeout_s)

    def kill(self) -> None:
        """Kill the process; one that has ended is fine."""
        with suppress(FailedError):
            self._engine.ask("cannot kill the container", "kill", self.name)
