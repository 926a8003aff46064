"""Whether a write is on a replica before anything is promised on it (`durability: strict`).

A WAIT goes behind the writes of a batch, on the same connection and in the same round trip, as soon as a replica has
been seen; from then on one is wanted, for a replica that is away is when a failover would lose what was accepted.
WAIT is no consensus: Redis' own `min-replicas-to-write 1` belongs beside it.
"""

from typing import Any

from bridge.errors import StoreUnavailable

WAIT_MS = 200


class Unconfirmed(StoreUnavailable):
    """The write is on the master, but on no replica yet; `answer` is what the script said."""

    def __init__(self, answer: Any) -> None:
        """Keep the answer: who may go on without a replica reads it."""
        self.answer = answer
        super().__init__(f"no replica confirmed the write within {WAIT_MS} ms")


class Replication:
    """Knows whether replicas exist, and what to ask behind a batch of writes."""

    def __init__(self, *, strict: bool, expected: bool) -> None:
        """Ask nothing unless `strict`; with `expected` (Sentinel), want a replica from the beginning."""
        self.strict = strict
        self._wanted = expected

    def question(self) -> tuple[Any, ...]:
        """Return the command that follows a batch: wait for a replica, or look whether there is one by now."""
        return ("WAIT", 1, WAIT_MS) if self._wanted else ("ROLE",)

    def confirmed(self, answer: Any) -> bool:
        """Read the answer to `question`: whether the batch before it is as safe as it can be here."""
        if self._wanted:
            return isinstance(answer, int) and answer > 0
        # ["master", offset, [replica, ...]]; an error where ROLE is not permitted.
        self._wanted = isinstance(answer, list) and answer[0] in (b"master", "master") and bool(answer[2])
        return not self._wanted
