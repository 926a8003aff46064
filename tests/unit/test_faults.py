import re
from pathlib import Path

import pytest

from bridge import faults
from bridge.faults import POINTS, armed


def killed_at(spec: str, *passed: str) -> int | None:
    """Return which of the points passed was the last, None if all were survived."""
    kills: list[str] = []
    point = armed(spec, lambda: kills.append(spec))
    for number, name in enumerate(passed, 1):
        point(name)
        if kills:
            return number
    return None


def test_nothing_happens_without_a_spec() -> None:
    """Outside tests a point is an empty function."""
    assert killed_at("", *POINTS) is None
    assert faults.point("claim.before") is None


def test_it_kills_at_its_point_only() -> None:
    """Other points are passed."""
    assert killed_at("poll.before", "claim.before", "poll.before") == 2


def test_it_kills_at_the_nth_time() -> None:
    """`name:3` survives twice."""
    assert killed_at("poll.before:3", *["poll.before", "claim.before"] * 4) == 5


def test_an_unknown_point_is_refused() -> None:
    """A typing mistake would otherwise be a point that is never reached."""
    with pytest.raises(ValueError, match=r"there is no point 'pol\.before'"):
        killed_at("pol.before")


def test_every_point_is_somewhere_in_the_code_exactly_once() -> None:
    """The list and the code agree."""
    code = "".join(path.read_text() for path in Path(faults.__file__).parent.rglob("*.py"))
    assert sorted(re.findall(r'\bpoint\("([^"]+)"\)', code)) == sorted(POINTS)
