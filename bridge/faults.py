"""Named points at which a test may have this process killed; outside tests they do nothing.

`CRASH_AT=<name>` in the environment kills the process (SIGKILL, as the kernel or a power switch would) when it comes
to that point, `CRASH_AT=<name>:<n>` when it comes there for the n-th time. The variable is read once, at import.
Without it `point` is a function with an empty body: Python cannot leave the call out, and it costs some 30 ns.
"""

import os
import signal
from collections.abc import Callable
from functools import partial

POINTS = (
    "accept.before",  # web: verified and matched, nothing stored
    "accept.after",  # web: stored, not answered
    "claim.before",
    "claim.after",  # the intent to trigger is written, nothing sent
    "trigger.answered",  # not written down yet
    "start.committed",
    "poll.before",
    "end.before",  # the engine said it ended; not written down yet
    "end.committed",  # its notifications are due, nobody has rung for them
    "notify.before",  # an attempt is claimed, nothing sent
    "notify.sent",  # not written down yet
    "notify.committed",
)


def armed(spec: str, kill: Callable[[], None]) -> Callable[[str], None]:
    """Return the function to call at every point: one that does nothing, or `kill`s at the point `spec` names.

    Raises ValueError for a point that does not exist: a test that waits for it would wait for ever.
    """
    if not spec:
        return _pass
    name, _, nth = spec.partition(":")
    if name not in POINTS:
        raise ValueError(f"CRASH_AT: there is no point {name!r}; there are {', '.join(POINTS)}")
    left = int(nth or 1)

    def kill_there(here: str) -> None:
        nonlocal left
        if here == name:
            left -= 1
            if left == 0:
                kill()

    return kill_there


def _pass(_: str) -> None: ...


point = armed(os.environ.get("CRASH_AT", ""), partial(os.kill, os.getpid(), signal.SIGKILL))
