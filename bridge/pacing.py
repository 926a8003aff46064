"""How long to wait: back-off, jitter, and durations in words. Pure but for the dice."""

import random

LONGEST_WAIT_SECONDS = 24 * 3600


def backoff(attempts: int) -> float:
    """Return seconds before the next trigger: 1, 2, 4 ... at most 60."""
    return float(min(60, 2 ** min(attempts - 1, 6)))


def jittered(seconds: float) -> float:
    """Spread by a fifth either way, so that what began together does not stay together."""
    return min(seconds, LONGEST_WAIT_SECONDS) * random.uniform(0.8, 1.2)  # noqa: S311 - not a secret


def spoken(seconds: float) -> str:
    """Say a length of time as a person would: `45 s`, `5 min`, `61 min 5 s`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min" + (f" {rest} s" if rest else "") if minutes else f"{seconds:g} s"
