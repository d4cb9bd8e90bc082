"""Own the order of a look at all that a run depends on: everything at once, bounded, to findings; it mends nothing.

Each thing is looked at in a thread of its own, so that none waits for another, and nobody for ever.
"""

import re
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

from builder import checks
from builder.checks import Look, Looked, Subject
from builder.errors import BuildImageError, UnreachableError
from builder.finding import Finding

LIMIT_S = 30.0
SKEW_LIMIT_S = 60.0  # what registries forgive where they judge when a token was made
_MAY_BE_HERE = re.compile(r"the engine|\b127\.|\blocalhost\b|\[::1\]")
_CLOCK_HINT = "set the clock: `sudo timedatectl set-ntp true`; of a virtual machine, restart it"
_NAMES_HINT = "check the name servers and HTTPS_PROXY; a name that is looked up for ever is one reason"
_AGAIN_HINT = "run it again: a local model's files are read once and then remembered; else look at the engine's log"

AnswerT = TypeVar("AnswerT")


def examine(subject: Subject, *, limit_s: float) -> list[Finding]:
    """Look at everything for at most `limit_s`, and return what was found in an order that does not change."""
    deadline = time.monotonic() + limit_s
    certificates = checks.certificates(subject)
    plan = _started(lambda: checks.plan(subject))

    def planned() -> checks.Planned:
        return plan.result(max(0.0, deadline - time.monotonic()))

    looks: dict[str, Look] = {
        "engine": lambda: checks.engine(subject),
        "disk": lambda: checks.room(subject, planned),
        "manifest": lambda: planned().looked,
    }
    if certificates.are_ok:
        looks |= {**checks.registries(subject), **checks.hubs(subject)}
    running = {name: _started(look) for name, look in looks.items()}
    looked = [_finished(name, look, deadline, limit_s) for name, look in running.items()]
    skews_s = {name: skew for each in looked for name, skew in each.skews_s.items() if skew is not None}
    return [finding for each in (*looked, certificates) for finding in each.findings] + [clock(skews_s)]


def _started(work: Callable[[], AnswerT]) -> "Future[AnswerT]":
    """Begin `work` in a thread that does not keep the program from ending."""
    future: Future[AnswerT] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # raised where the answer is asked for
            future.set_exception(error)

    Thread(target=run, daemon=True).start()
    return future


def _finished(name: str, look: "Future[Looked]", deadline: float, limit_s: float) -> Looked:
    """Wait for one look; what stood in its way is what it found."""
    check, _, whose = name.partition(" ")
    try:
        return look.result(max(0.0, deadline - time.monotonic()))
    except TimeoutError:
        message = f"`{whose}` does not answer within {limit_s:g} s" if whose else f"not done within {limit_s:g} s"
        error = UnreachableError(message, hint=_NAMES_HINT if whose else _AGAIN_HINT)
        return Looked(findings=(Finding.of(check, error),))
    except BuildImageError as error:
        return Looked(findings=(Finding.of(check, error, otherwise="look at the engine's log"),))


def clock(skews_s: Mapping[str, float]) -> Finding:
    """Compare this machine's clock with the others': where it agrees with one of them, another one is wrong.

    What may run on this machine, with the very same clock, proves nothing by agreeing.
    """
    if not skews_s:
        message, hint = "nobody answered whom it could be compared with", "make one of the others reachable first"
        return Finding(check="clock", state="warning", message=message, hint=hint)
    off = {name: skew for name, skew in skews_s.items() if abs(skew) > SKEW_LIMIT_S}
    if not off:
        return Finding(check="clock", message=f"within {SKEW_LIMIT_S:g} s of {', '.join(skews_s)}")
    told = ", ".join(f"{_duration(skew)} {'ahead of' if skew > 0 else 'behind'} {name}" for name, skew in off.items())
    message = f"this machine is {told}"
    agreeing = [name for name in skews_s if name not in off and not _MAY_BE_HERE.search(name)]
    if agreeing:
        others = "the other clock is wrong, or something between keeps old answers"
        hint = f"this machine agrees with {', '.join(agreeing)}: {others}"
        return Finding(check="clock", state="warning", message=message, hint=hint)
    message += ": certificates and tokens are refused"
    return Finding(check="clock", state="problem", message=message, hint=_CLOCK_HINT, exit_code=2)


def _duration(seconds: float) -> str:
    whole = round(abs(seconds))
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if whole >= 2 * length:
            return f"{whole // length} {unit}"
    return f"{whole} s"
