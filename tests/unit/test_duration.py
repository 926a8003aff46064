"""Durations read what people write and refuse the rest with a hint."""

from datetime import timedelta

import pytest

from bridge.duration import Duration


@pytest.mark.parametrize(
    ("written", "seconds"), [("500ms", 0.5), ("15s", 15), ("5m", 300), ("1h", 3600), ("7d", 604800), ("1.5h", 5400)]
)
def test_reads_every_unit(written, seconds):
    """Each unit and a fraction are read as the length of time they say."""
    assert Duration.decode(written) == timedelta(seconds=seconds)


@pytest.mark.parametrize("written", ["15", "15 s", "-1s", "1y", "", "s", "\u0661s", 15, None, True, ["1s"]])
def test_refuses_what_is_no_duration(written):
    """A missing, unknown or spaced unit, a sign, and anything but text is refused with how to write it."""
    with pytest.raises(ValueError, match="write a number and a unit"):
        Duration.decode(written)


@pytest.mark.parametrize("written", ["0s", "366d", "9" * 400 + "h", "0.0001ms"])
def test_refuses_what_is_out_of_range(written):
    """No time at all, less than the clock can tell, and more than a year are refused."""
    with pytest.raises(ValueError, match="more than zero and at most 365d"):
        Duration.decode(written)


def test_schema_accepts_what_decode_accepts():
    """The schema's pattern is the one durations are read by."""
    assert Duration.schema()["pattern"] == r"^([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)$"
