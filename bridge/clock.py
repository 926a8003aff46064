"""Redis time, carried on by this process's monotonic clock: no machine's wall clock decides anything."""

import time
from datetime import UTC, datetime

from msgspec import Struct, structs


class Clock(Struct, frozen=True):
    """A reading of Redis TIME and the monotonic moment just before it was asked for."""

    read_at: float
    """Monotonic seconds, before the question left: so a lease counted from here never ends too late."""
    redis_ms: float = 0

    @classmethod
    def starting_now(cls) -> "Clock":
        """Note the moment before Redis is asked."""
        return cls(time.monotonic())

    def reading(self, redis_ms: float) -> "Clock":
        """Return this clock with Redis' answer (milliseconds since the epoch)."""
        return structs.replace(self, redis_ms=redis_ms)

    def now_ms(self) -> float:
        """Return what Redis TIME is now, in milliseconds since the epoch."""
        return self.redis_ms + (time.monotonic() - self.read_at) * 1000

    def after(self, seconds: float) -> float:
        """Return the monotonic moment `seconds` after the reading was asked for."""
        return self.read_at + seconds


def rfc3339(milliseconds: float) -> str:
    """Write milliseconds since the epoch as RFC 3339 in UTC."""
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
