import pytest

from bridge.clock import Clock, rfc3339
from bridge.pacing import LONGEST_WAIT_SECONDS, jittered, spoken


def test_lengths_of_time_read_as_a_person_would_say_them() -> None:
    """Seconds, then minutes, then both."""
    assert [spoken(seconds) for seconds in (0.3, 45, 60, 300, 3665)] == [
        "0.3 s",
        "45 s",
        "1 min",
        "5 min",
        "61 min 5 s",
    ]


def test_no_wait_is_longer_than_a_day() -> None:
    """Whatever a server asks for, somebody looks again tomorrow."""
    assert jittered(1e9) <= LONGEST_WAIT_SECONDS * 1.2


def test_a_clock_runs_on_from_redis_time() -> None:
    """What Redis said, plus what has passed here since."""
    clock = Clock.starting_now().reading(1_000)
    assert clock.now_ms() == pytest.approx(1_000, abs=1_000)
    assert clock.after(5) == clock.read_at + 5


def test_moments_are_written_as_rfc_3339() -> None:
    """Milliseconds, UTC, Z."""
    assert rfc3339(1_773_619_200_123) == "2026-03-16T00:00:00.123Z"
