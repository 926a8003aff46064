"""How an execution stands, in words: one for every status, and how long it took."""

import pytest

from bridge.model import Execution, Status
from bridge.status_words import WORDS, took


def _execution(started: str | None, finished: str | None) -> Execution:
    return Execution(
        id="x_1",
        delivery_id="d_1",
        rule="r",
        source="s",
        engine="e",
        template="t",
        variables={},
        status=Status.COMPLETED,
        final=True,
        started_at=started,
        finished_at=finished,
    )


def test_every_status_has_words_of_its_own():
    """Nobody reads of two that are the same."""
    assert list(WORDS) == list(Status)
    assert len(set(WORDS.values())) == len(Status)


@pytest.mark.parametrize(
    ("started", "finished", "said"),
    [
        ("2026-03-16T10:00:00.000Z", "2026-03-16T10:00:07.400Z", "7 s"),
        ("2026-03-16T10:00:00.000Z", "2026-03-16T10:04:05.000Z", "4 min 5 s"),
        ("2026-03-16T10:00:00.000Z", "2026-03-16T10:05:00.400Z", "5 min"),
        ("2026-03-16T10:00:00.000Z", None, ""),
        (None, "2026-03-16T10:00:07.000Z", ""),
    ],
)
def test_how_long_it_took_is_said_to_the_second(started, finished, said):
    """As a person would; nothing of what has not begun or not ended."""
    assert took(_execution(started, finished)) == said
