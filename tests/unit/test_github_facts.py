import json

from hypothesis import given
from hypothesis import strategies as st

from bridge.github_facts import EVENTS, FACTS, ORIGINS, find

ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6) | st.sampled_from(["refs/heads/x", "0" * 40]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["name", "repo", "login", "full_name", "owner", "head", "base"]), inner)
    ),
    max_leaves=4,
)
PATHS = sorted({way.path for fact in FACTS.values() for way in fact.ways})


def put(body, path, value):
    """Put a value at a dotted path, over whatever stands in its way."""
    *steps, last = path.split(".")
    for step in steps:
        if not isinstance(body.get(step), dict):
            body[step] = {}
        body = body[step]
    body[last] = value


@given(st.sampled_from(EVENTS), st.dictionaries(st.sampled_from(PATHS), ODD, max_size=6))
def test_any_body_has_facts_of_the_right_kind(event, values):
    """Whatever stands where a fact is looked for: what is found is JSON of the fact's kind, and never null or empty."""
    body = {}
    for path, value in values.items():
        put(body, path.replace("*", event), value)
    before = json.dumps(body)
    found = find(event, body)
    for name, fact in FACTS.items():
        group, _, inner = name.partition(".")
        value = found.get(group, {}).get(inner) if inner else found.get(group)
        assert value is None or (type(value) is fact.kind and value != "")
    assert json.dumps(body) == before
    assert find(event, body) == found


def test_the_table_says_where_each_fact_comes_from():
    """In words that name events and paths, in the order in which they are tried."""
    assert ORIGINS["merged"] == "pull_request: `pull_request.merged`"
    assert ORIGINS["number"].startswith("pull_request*: `pull_request.number`; issues, issue_comment: `issue.number`; ")
    assert ORIGINS["short_sha"] == "where `sha` is"
    assert ORIGINS["owner"].endswith("any event: `organization.login`")
    assert "push: `commits` (each one's added)" in ORIGINS["files.added"]
