"""A hundred thousand hostile inputs; a million of them at night (`make fuzz INPUTS=1000000`)."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.decision import decide
from bridge.model import Event
from tests.fuzz.__main__ import HANG_SECONDS, SHARES, Verdict, fuzz, silence, tried
from tests.fuzz.mutation import MAX_BYTES, Mutator
from tests.fuzz.targets import CONFIG


@pytest.mark.timeout(300)
async def test_nothing_that_is_sent_breaks_hangs_or_swells_anything(redis_url: str) -> None:
    """Of 100,000 hostile inputs none is an exception, a 5xx, 50 ms of processor time or a leak."""
    with silence():
        verdict = await fuzz(redis_url, 100_000, seed=1)
    assert verdict.failures == []
    assert max(verdict.slowest_ms.values()) < HANG_SECONDS * 1000
    assert verdict.good
    assert all(verdict.slowest_ms[name] > 0 for name in SHARES), "every target had its inputs"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
BODY = st.fixed_dictionaries({}, optional=dict.fromkeys(("a", "n", "m", "k", "s", "list", "map", "callback_url"), JSON))


@given(body=BODY | JSON, labels=JSON, url=JSON, state=JSON, files=JSON)
def test_every_rule_comes_to_a_verdict_about_any_value(body, labels, url, state, files):
    """Whatever JSON can be stands wherever a rule looks, in its right place and of any type."""
    facts = {"labels": labels, "url": url, "state": state, "files": files}
    for source, event in (("open", "request"), ("github", "push")):
        decision = decide(CONFIG, Event(source=source, name=event, body=body, facts=facts), "d_1")
        assert {result.verdict for result in decision.results} <= {"match", "no_match", "error"}


def test_the_same_seed_makes_the_same_inputs():
    """A finding can be made again from its seed, and no input is larger than what is read on the loop."""
    corpus = [b"abc" * 1000, b"{}"]
    one, two, other = ([mutator.mutated(corpus) for _ in range(500)] for mutator in map(Mutator, (1, 1, 2)))
    assert one == two != other
    assert max(map(len, one)) <= MAX_BYTES
    assert len(set(one)) > 300


async def test_what_goes_wrong_is_told():
    """An exception, in a plain check or in one that waits, is a finding with its words; a good run is none."""

    def breaks(_: bytes) -> None:
        raise ZeroDivisionError("words")

    async def waits(data: bytes) -> None:
        await asyncio.sleep(0)
        breaks(data)

    assert (await tried(breaks, b""))[0] == (await tried(waits, b""))[0] == "ZeroDivisionError: words"
    assert (await tried(lambda _: None, b""))[0] is None
    assert not Verdict(1, [], {}, 51.0, 1.0).good
