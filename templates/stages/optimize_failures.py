"""Own how this program speaks: of what keeps a graph, or one step of it, from being optimised, and of how many."""


class SkipError(Exception):
    """One step can't be done on this graph: why, in one line."""


class OptimizeError(Exception):
    """Nothing can be derived. What happened is one line, what helps another.

    OptimizeError
    `-- GraphError   it is the graph's fault: the original can stay in place
    """

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(f"error: {message}\nhint: {hint}")
        self.message = message
        self.hint = hint


class GraphError(OptimizeError):
    """The optimiser can't take the original graph."""


def counted(number: int, thing: str) -> str:
    """Say how many there are."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def in_one_line(error: Exception) -> str:
    """Write what a library says in one line, without what differs from run to run."""
    return " ".join(str(error).split()) or type(error).__name__
