"""Rates are read as people write them, and kept for each key on its own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.rate import Keeper, Rate


@pytest.mark.parametrize(("written", "most", "seconds"), [("10/s", 10, 1), ("100/m", 100, 60), ("5000/h", 5000, 3600)])
def test_reads_every_unit(written, most, seconds):
    """So many per second, minute or hour."""
    assert Rate.decode(written) == Rate(most, seconds, written)


@pytest.mark.parametrize(
    "written", ["", "100", "0/s", "-1/s", "1.5/s", "100 / m", "100/d", "\u0661/s", "9" * 8 + "/s", 5]
)
def test_refuses_what_is_no_rate(written):
    """Anything else is refused with how to write it."""
    with pytest.raises(ValueError, match="such as 10/s, 100/m, 1000/h"):
        Rate.decode(written)


def test_schema_is_the_pattern_it_is_read_by():
    """Editors are told what is taken."""
    assert Rate.schema()["pattern"] == "^([1-9][0-9]{0,6})/([smh])$"


def test_a_whole_period_may_come_at_once_and_then_one_by_one():
    """After so many at once it is one each sixtieth of the minute; a quiet minute gives all of them back."""
    keeper = Keeper(Rate.decode("60/m"))
    assert [keeper.take("a", 0.0) for _ in range(60)] == [0.0] * 60
    assert keeper.take("a", 0.0) == pytest.approx(1.0)
    assert keeper.take("a", 0.75) == pytest.approx(0.25)
    assert keeper.take("a", 1.0) == 0.0
    assert keeper.take("a", 1.0) > 0
    assert [keeper.take("a", 100.0) for _ in range(61)][-2:] == [0.0, pytest.approx(1.0)]


def test_waiting_takes_nothing_and_keys_are_apart():
    """Looking is free, and one key's use is no other's."""
    keeper = Keeper(Rate.decode("1/s"))
    assert [keeper.wait("a", 0.0) for _ in range(5)] == [0.0] * 5
    keeper.take("a", 0.0)
    assert keeper.wait("a", 0.0) == pytest.approx(1.0)
    assert keeper.take("b", 0.0) == 0.0


def test_memory_is_bounded():
    """Of more keys than it may remember the one longest unseen is forgotten."""
    keeper = Keeper(Rate.decode("1/h"), most_keys=2)
    keeper.take("a", 0.0)
    keeper.take("b", 0.0)
    keeper.take("c", 0.0)
    assert keeper.wait("a", 0.0) == 0.0
    assert keeper.wait("b", 0.0) > 0


@given(st.integers(1, 50), st.lists(st.floats(0, 5), min_size=1, max_size=200))
def test_no_window_ever_holds_more_than_twice_the_rate(most, pauses):
    """Whatever the times of asking: at most a full bucket and what flowed in meanwhile."""
    keeper, now, taken = Keeper(Rate(most, 1.0, "")), 0.0, []
    for pause in pauses:
        now += pause / 10
        if not keeper.take("a", now):
            taken.append(now)
    for first in taken:
        assert sum(first <= at <= first + 1.0 for at in taken) <= 2 * most
