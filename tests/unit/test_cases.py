"""A test beside a rule wants one thing, and says what is different from the smallest event."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.cases import Case, merged

JSON = st.recursive(
    st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    "wants", [{}, {"runs": {}, "skips": True}, {"runs": False}, {"skips": False}, {"runs": True, "skips": "a"}]
)
def test_a_test_that_wants_nothing_or_both_is_refused(wants):
    """The message says what there is."""
    with pytest.raises(ValueError, match="say what the rule must do: `runs:`"):
        Case(event={}, **wants)


def test_an_empty_runs_is_a_wish():
    """It must run, with whatever variables."""
    assert Case(event={}, runs={}).runs == {}


@pytest.mark.parametrize(
    ("base", "patch", "result"),
    [
        ({"a": 1, "b": 2}, {"a": 3}, {"a": 3, "b": 2}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}}, {"a": {"b": 3, "c": 2}}),
        ({"a": {"b": 1}}, {"a": {"b": None}}, {"a": {}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": "text"}, {"a": {"b": None, "c": 1}}, {"a": {"c": 1}}),
        ({"a": 1}, {"b": None}, {"a": 1}),
    ],
)
def test_merging_is_json_merge_patch(base, patch, result):
    """Deep, lists whole, null removes (RFC 7386); what it is merged over stays as it is."""
    before = json.dumps(base)
    assert merged(base, patch) == result
    assert json.dumps(base) == before


@given(base=JSON, patch=JSON)
def test_what_is_different_is_there_afterwards(base, patch):
    """Merging the same again changes nothing."""
    once = merged(base, patch)
    assert merged(once, patch) == once
