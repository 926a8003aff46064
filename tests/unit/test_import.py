"""Other tools' rules into ours: what comes out loads, says what is missing, and never runs too often."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.config import Config, load
from bridge.decision import decide
from bridge.errors import ConfigError
from bridge.expressions import Condition
from bridge.importers import FORMATS
from bridge.importers.adnanh import convert as adnanh
from bridge.importers.cel import conditions, translate
from bridge.importers.cel_tokens import Untranslatable
from bridge.importers.draft import Draft, Rule
from bridge.importers.gwt import convert as gwt
from bridge.importers.jsonpath import path
from bridge.importers.tekton import convert as tekton
from bridge.importers.writing import literal, name, scalar, slug, variable, verbatim
from bridge.model import Event
from bridge.yaml_text import MapNode, Report, ScalarNode, parse

DOCS = (Path(__file__).parents[2] / "docs" / "import.md").read_text()
EXAMPLES = re.findall(
    r"^`(\S+)`:\n\n```\w+\n(.*?)^```\n\n`genesis-bridge import (\w+) \S+` prints:\n\n```yaml\n(.*?)^```",
    DOCS,
    re.MULTILINE | re.DOTALL,
)
CORPUS = Path(__file__).parents[1] / "data" / "import"
SECRETS = ("my$ecret", "my-gitlab-secret", "gitea-secret", "nested", "abc123")


def loaded(draft: Draft, directory: Path) -> Config:
    file = directory / "imported.yaml"
    file.write_text(draft.text())
    return load(file, None)


def imported(kind: str, file: str) -> Draft:
    return FORMATS[kind]((CORPUS / file).read_bytes(), file)


@pytest.mark.parametrize("file", sorted(CORPUS.iterdir()), ids=lambda file: file.name)
def test_the_corpus_loads_and_holds_no_secret(file: Path, tmp_path: Path) -> None:
    """And every note stands in the file as a comment."""
    draft = imported(file.stem.partition("-")[0], file.name)
    assert loaded(draft, tmp_path).ruleset.rules
    for note in draft.told():
        assert f"#   {note}\n" in draft.text()
        assert note.startswith(f"{file.name}:")
    assert not [secret for secret in SECRETS if secret in draft.text()]


@pytest.mark.parametrize(("file", "written", "kind", "printed"), EXAMPLES, ids=[example[2] for example in EXAMPLES])
def test_the_examples_of_the_documentation_are_true(
    file: str, written: str, kind: str, printed: str, tmp_path: Path
) -> None:
    """What goes in and what comes out; one of each format."""
    draft = FORMATS[kind](written.encode(), file)
    assert draft.text() == printed
    assert loaded(draft, tmp_path).ruleset.rules
    assert {example[2] for example in EXAMPLES} == set(FORMATS)


def noted(draft: Draft, line: int) -> list[str]:
    return [note.message for note in draft.notes if note.line == line]


def said(kind: str, file: str, event: Event, directory: Path) -> dict[str, dict[str, str]]:
    """Return which rules run for an event, with what."""
    config = loaded(imported(kind, file), directory)
    return {record.rule: record.variables for record in decide(config, event, "d_1").executions.values()}


def test_a_hook_of_adnanh_runs_for_what_it_ran_for(tmp_path: Path) -> None:
    """Its secret is the source's, its event the rule's, its arguments the template's variables."""
    body = {
        "ref": "refs/heads/master",
        "head_commit": {"id": "c0ffee", "message": "feat(x): y"},
        "commits": [{"author": {"email": "a@b"}}],
    }

    def pushed(**changes: Any) -> Event:
        return Event(name="push", source="webhook", body=body | changes)

    found = said("adnanh", "adnanh-github.json", pushed(), tmp_path)
    assert found["webhook"] == {
        "id": "c0ffee",
        "name": "",
        "email": "a@b",
        "argument_4": json.dumps(body, separators=(",", ":")),
        "force": "--force",
        "BRANCH": "refs/heads/master",
    }
    assert said("adnanh", "adnanh-github.json", pushed(head_commit={"message": "fix"}), tmp_path)
    assert not said("adnanh", "adnanh-github.json", pushed(head_commit={}, forced=False), tmp_path)
    assert not said("adnanh", "adnanh-github.json", pushed(ref="refs/heads/dev"), tmp_path)


def test_what_of_a_hook_is_not_carried_over_is_said_at_its_line() -> None:
    """With the reason, and what to do."""
    draft = imported("adnanh", "adnanh-mixed.yaml")
    assert "compared with a secret" in noted(draft, 5)[0]
    assert "`ip-whitelist` is left out" in noted(draft, 13)[0]
    assert "RE2" in noted(draft, 14)[0]
    assert "takes unsigned requests" in noted(draft, 16)[0]
    assert "200 `no_match`" in noted(draft, 18)[0]
    assert "`payload-hash-sha1` within `or`" in noted(draft, 24)[0]
    assert [rule.when[0] for rule in draft.rules if rule.when] == ["false", "false", "false"]
    assert draft.sources["gitea"].auth == "type: hmac, header: x-gitea-signature, algorithm: sha512"


def hook(**fields: Any) -> Draft:
    return adnanh(json.dumps([{"id": "h", **fields}]).encode(), "hooks.json")


def match(kind: str = "value", source: str = "payload", named: str = "a", **fields: Any) -> dict[str, Any]:
    return {"match": {"type": kind, "parameter": {"source": source, "name": named}, **fields}}


@pytest.mark.parametrize(
    ("rule", "when"),
    [
        ({"and": []}, []),
        ({"and": None}, ["false"]),
        ({}, ["false"]),
        ("text", ["false"]),
        ({"xor": []}, ["false"]),
        ({"or": []}, ["false"]),
        (match("value", "cookie", value="x"), ["false"]),
        (match("value", "", value="x"), ["false"]),
        (match("scalr-signature"), ["false"]),
        ({"not": match("payload-hash-sha256", "header", "X-Sign")}, ["false"]),
        (match("payload-hash-sha256", "payload", "sign"), ["false"]),
        (match("value", "payload", "token", value="hidden"), ["false"]),
        (match("value", "query", "level", value="high"), ["query.level is defined and query.level == 'high'"]),
        (
            match("value", "header", "X-A", value="1"),
            ["headers['x-a'] is defined and headers['x-a'] is not none and ([headers['x-a']] | join) == '1'"],
        ),
        ({"and": [match(value="x"), match(value="x")]}, ["body.a is defined and body.a == 'x'"]),
        (
            {"and": [match("value", "header", "X-GitHub-Event", value=event) for event in ("push", "create")]},
            ["headers['x-github-event'] == 'push'", "false"],
        ),
    ],
)
def test_conditions_of_adnanh(rule: Any, when: list[str]) -> None:
    """What is not understood is `false`."""
    assert hook(**{"trigger-rule": rule}).rules[0].when == when


def test_signatures_of_adnanh() -> None:
    """The first one counts, its prefix is said, and without any there is a token."""
    both = [match("payload-hash-sha256", "header", name_) for name_ in ("X-Sign", "X-Too")]
    draft = hook(**{"trigger-rule": {"and": both}})
    assert draft.sources["h"].auth == "type: hmac, header: x-sign, prefix: 'sha256=', algorithm: sha256"
    assert [note for note in draft.told() if "only the first" in note]
    assert [note for note in draft.told() if "is taken to begin with `sha256=`" in note]
    assert hook().sources["h"].auth == "type: bearer"


def test_hooks_of_nearly_one_name_keep_their_own_sources_and_secrets() -> None:
    """Nobody can start another's."""
    draft = adnanh(b'[{"id": "a-b"}, {"id": "a_b"}, {"id": "A B"}, {}, 7]', "hooks.json")
    assert [source.name for source in draft.sources.values()] == ["a-b", "a_b", "a-b-2", "hook-4"]
    secrets = ["A_B_SECRET", "A_B_SECRET_2", "A_B_SECRET_3", "HOOK_4_SECRET"]
    assert [source.secret for source in draft.sources.values()] == secrets
    assert "this is no hook" in draft.told()[-1]


def test_arguments_of_adnanh() -> None:
    """Each has a name of its own; what proves a sender is not passed on."""
    arguments = [
        {"source": "payload", "name": "x.id"},
        {"source": "payload", "name": "y.id"},
        {"source": "header", "name": "X-Api-Key"},
        {"source": "string", "name": "${{ body }}"},
        {"source": "entire-headers"},
        {"source": "url", "name": "page"},
    ]
    draft = hook(**{"pass-arguments-to-command": arguments, "pass-environment-to-command": arguments[:1]})
    assert draft.rules[0].variables == {
        "id": "${{ body.x.id | default('') }}",
        "id_2": "${{ body.y.id | default('') }}",
        "body": "${{ '${{ body }}' }}",
        "argument_5": "${{ headers | json }}",
        "page": "${{ query.page | default('') }}",
        "HOOK_x_id": "${{ body.x.id | default('') }}",
    }
    assert [note for note in draft.told() if "proves itself" in note]


@pytest.mark.parametrize("name_", ["secretRef", "access_token", "jwt", "X-Session", "response_url"])
@pytest.mark.parametrize("source", ["url", "query", "header"])
def test_what_rules_do_not_see_is_not_passed_on(source: str, name_: str, tmp_path: Path) -> None:
    """A credential by its name, wherever it stands beside the body: the rest of the hook is carried over, and loads."""
    draft = hook(**{"pass-arguments-to-command": [{"source": source, "name": name_}]})
    assert draft.rules[0].variables == {}
    assert [note for note in draft.told() if "proves itself" in note]
    loaded(draft, tmp_path)


@pytest.mark.parametrize("kind", ["genericRequestVariables", "genericHeaderVariables"])
def test_nor_is_it_of_jenkins(kind: str, tmp_path: Path) -> None:
    """The same names, by the same judgement."""
    draft = gwt(json.dumps({"job": "one", kind: [{"key": "jwt"}]}).encode(), "gwt.json")
    assert draft.rules[0].variables == {}
    loaded(draft, tmp_path)


def test_a_trigger_of_jenkins_runs_for_what_it_ran_for(tmp_path: Path) -> None:
    """Its variables have their defaults, its filter is searched for in the text."""
    event = Event(
        name="request",
        source="deploy",
        body={"ref": "refs/heads/release-3"},
        headers={"x-github-event": "push"},
        query={"environment": "qa"},
    )
    assert said("gwt", "gwt.yaml", event, tmp_path)["deploy"] == {
        "ref": "refs/heads/release-3",
        "committer": "nobody",
        "environment": "qa",
        "x_github_event": "push",
    }
    other = Event(name="request", source="deploy", body={"ref": "refs/heads/release-x"})
    assert not said("gwt", "gwt.yaml", other, tmp_path)


def test_what_of_a_trigger_of_jenkins_is_not_carried_over_is_said_at_its_line() -> None:
    """Each in its own words."""
    draft = imported("gwt", "gwt.yaml")
    assert "does not lead to one value" in noted(draft, 8)[0]
    assert "regexpFilter" in noted(draft, 9)[0]
    assert "XPath" in noted(draft, 10)[0]
    assert "Bearer" in noted(draft, 17)[0]
    assert "RE2" in noted(draft, 27)[0]
    assert draft.rules[1].when == ["false"]


@pytest.mark.parametrize(
    ("fields", "when"),
    [
        ({"regexpFilterText": "$ref"}, []),
        ({"regexpFilterExpression": "^x"}, ["([''] | join) is matching '^x'"]),
        ({"regexpFilterText": "a $none", "regexpFilterExpression": "a"}, ["false"]),
        ({"regexpFilterText": "$token", "regexpFilterExpression": "^hidden$"}, ["false"]),
        ({"regexpFilterText": "${ref}!", "regexpFilterExpression": "[a-z&&[^b]]"}, ["false"]),
        (
            {"regexpFilterText": "<${ref}> $whole", "regexpFilterExpression": "true"},
            ["(['<', body.ref | default(''), '> ', body | json] | join) is matching 'true'"],
        ),
    ],
)
def test_filters_of_jenkins(fields: dict[str, str], when: list[str]) -> None:
    """Texts with variables in them, and Java's regular expressions as far as they are RE2's."""
    variables = [{"key": key, "value": value} for key, value in (("ref", "$.ref"), ("whole", "$"), ("token", "$.t"))]
    draft = gwt(json.dumps({"token": "t", "genericVariables": variables, **fields}).encode(), "gwt.json")
    assert [rule.when for rule in draft.rules] == [when]
    assert draft.rules[0].name == "trigger"
    assert "hidden" not in draft.text()


def test_variables_of_jenkins_that_are_none() -> None:
    """A credential is not passed on, a name is needed, and only JSONPaths are read."""
    trigger = {
        "genericVariables": [{"value": "$.a"}, {"key": "b", "value": "a.b"}, 7],
        "genericHeaderVariables": [{"key": "X-Gitlab-Token"}],
        "unheard": 1,
    }
    draft = gwt(json.dumps([{"job": "one", **trigger}, {"token": "x"}]).encode(), "gwt.json")
    assert [(rule.name, rule.variables) for rule in draft.rules] == [("one", {}), ("trigger-2", {})]
    for words in ("has no `key`", "one begins with $", "proves itself", "not known here"):
        assert [note for note in draft.told() if words in note], words
    assert gwt(b"{a: 1}", "gwt.yaml").told()[0].startswith("gwt.yaml:1: there is no trigger here")


def test_a_trigger_of_tekton_runs_for_what_it_ran_for(tmp_path: Path) -> None:
    """Binding, overlay, default and filter together."""
    body = {
        "action": "opened",
        "number": 7,
        "pull_request": {"base": {"ref": "main"}, "head": {"sha": "0123456789abcdef"}, "title": "T"},
    }
    event = Event(name="pull_request", source="github", body=body)
    assert said("tekton", "tekton.yaml", event, tmp_path) == {
        "github-pr": {
            "revision": "0123456789abcdef",
            "short": "0123456",
            "title": "PR 7: T",
            "environment": "staging",
        }
    }
    assert not said("tekton", "tekton.yaml", Event(name="push", source="github", body=body), tmp_path)


def test_what_of_tekton_is_not_carried_over_is_said_at_its_line() -> None:
    """Every document, each at its line of the whole file."""
    draft = imported("tekton", "tekton.yaml")
    for line, words in {
        24: "the overlay 'files'",
        29: "nothing says who may send",
        35: "a program of its own",
        38: "the template does not take it",
        44: "the Trigger elsewhere is not in this file",
        55: "does not lead to one value",
        67: "no binding gives the parameter nowhere",
        73: "Service el is none of",
    }.items():
        assert words in noted(draft, line)[0], line


def listener(*interceptors: Any, **trigger: Any) -> Draft:
    triggers = [{"name": "t", "interceptors": list(interceptors), **trigger}]
    spec = {"kind": "EventListener", "metadata": {"name": "l"}, "spec": {"triggers": triggers}}
    return tekton(json.dumps(spec).encode(), "tekton.json")


@pytest.mark.parametrize(
    ("interceptor", "when", "events"),
    [
        ({"name": "only a name"}, ["false"], []),
        (7, ["false"], []),
        ({"ref": {"kind": "x"}}, ["false"], []),
        ({"cel": {"filter": "body.x.exists(c, c == 'a')"}}, ["false"], []),
        ({"cel": {"filter": ["a"]}}, ["false"], []),
        ({"cel": {}}, [], []),
        ({"cel": {"filter": "header['X-Secret-Token'][0] == 'hidden'"}}, ["false"], []),
        ({"github": {"eventTypes": ["push"]}}, ["headers['x-github-event'] in ['push']"], []),
        ({"github": {"secretRef": {"secretName": "a"}, "eventTypes": ["push"]}}, [], ["push"]),
        ({"github": {"githubOwners": {}}}, ["false"], []),
        ({"github": {"addChangedFiles": {"enabled": True}}}, [], []),
        ({"gitlab": {"eventTypes": ["Push Hook"]}}, ["headers['x-gitlab-event'] in ['Push Hook']"], []),
        ({"bitbucket": {"eventTypes": ["repo:push"]}}, ["headers['x-event-key'] in ['repo:push']"], []),
        ({"slack": {"eventTypes": ["x"]}}, ["false"], []),
    ],
)
def test_interceptors_of_tekton(interceptor: Any, when: list[str], events: list[str], tmp_path: Path) -> None:
    """What is not understood is `false`, and a secret in a filter is not written down."""
    draft = listener(interceptor)
    assert (draft.rules[0].when, draft.rules[0].events) == (when, events)
    assert "hidden" not in draft.text()
    assert loaded(draft, tmp_path).ruleset.rules


def test_overlays_of_tekton_build_on_one_another() -> None:
    """In their order; one that is not understood is missing."""
    overlays = [
        {"key": "parts", "expression": "body.ref.split('/')"},
        {"key": "branch", "expression": "extensions.parts[2]"},
        {"key": "odd", "expression": "body.ref.reverse()"},
    ]
    filtered = "extensions.branch == 'main'"
    draft = listener(
        {"cel": {"overlays": overlays}},
        {"ref": {"name": "cel"}, "params": [{"name": "filter", "value": filtered}]},
        bindings=[{"name": key, "value": f"$(extensions.{key})"} for key in ("branch", "odd")],
    )
    assert draft.rules[0].when == ["body.ref.split('/')[2] == 'main'"]
    assert draft.rules[0].variables == {"branch": "${{ body.ref.split('/')[2] }}"}


def test_bindings_of_tekton() -> None:
    """Names of headers are in lower case here; what proves a sender is not passed on."""
    written = {"a": "$(header.X-GitHub-Event)", "b": "$(header.X-Token)", "c": "$(context.eventID)", "d": "$(body)"}
    bindings = [{"name": key, "value": value} for key, value in written.items()]
    draft = listener(bindings=[*bindings, {"name": "e"}, {"name": "f", "value": "$(header)"}])
    assert draft.rules[0].variables == {"a": "${{ headers['x-github-event'] }}", "d": "${{ body | json }}"}
    assert len([note for note in draft.told() if "has no equal here" in note]) == 3


def test_triggers_of_their_own_and_lists_are_read() -> None:
    """Once each, wherever they are named; and what the file lacks is said."""
    items = [
        {"kind": "Trigger", "metadata": {"name": "own"}, "spec": {"bindings": [{"ref": "none"}]}},
        {"kind": "Trigger", "metadata": {"name": "used"}, "spec": {"template": {"ref": "gone"}}},
        {
            "kind": "EventListener",
            "metadata": {"name": "l"},
            "spec": {"triggerGroups": [], "labelSelector": {"a": "b"}, "triggers": [{"triggerRef": "used"}]},
        },
    ]
    draft = tekton(json.dumps({"kind": "List", "items": items}).encode(), "tekton.json")
    assert [rule.name for rule in draft.rules] == ["used", "own"]
    for words in ("`triggerGroups` is left out", "the binding none", "the template gone", "the template of it"):
        assert [note for note in draft.told() if words in note], words
    assert "there is no EventListener" in tekton(b"kind: Pod", "x.yaml").told()[1]


@pytest.mark.parametrize(
    ("written", "ours"),
    [
        ("body.a == 'x'", "body.a == 'x'"),
        ('header.match("X-GitHub-Event", "push")', "headers['x-github-event'] == 'push'"),
        ("header.canonical('X-A') == 'y'", "headers['x-a'] == 'y'"),
        ("header['X-A'][0] != 'y'", "headers['x-a'] != 'y'"),
        ("body.a || body.b == 2", "(body.a is true) or (body.b is defined and (body.b == 2))"),
        ("!body.a && (true || body.b)", "(body.a is false) and (true or (body.b is true))"),
        ("body.a.b == 1 ? 1 : -2.5", "1 if (body.a.b == 1) else (-2.5)"),
        ("body['a-b'].c[0] in [1, null, true]", "body['a-b'].c[0] in [1, none, true]"),
        ("has(body.a)", "body.a is defined"),
        ("!has(body.a.b)", "body.a is mapping and not (body.a.b is defined)"),
        ("size(body.a) > 3", "(body.a | length) > 3"),
        ("body.a.size() >= 3", "(body.a | length) >= 3"),
        ("body.a.matches(r'^v\\d+$')", "body.a is matching '^v\\\\d+$'"),
        ("body.a.contains('x')", "'x' in body.a"),
        ("body.a.lowerAscii().endsWith('x')", "body.a.lower().endswith('x')"),
        ("body.a.replace('x', \"it's\")", "body.a | replace('x', 'it\\'s')"),
        ("string(body.a) + 'x'", "([body.a] | join) + 'x'"),
        ("body.a.split('/')[1].truncate(7)", "body.a.split('/')[1][:7]"),
        ("body.a['x'].split(',')['y']", "body.a.x.split(',')['y']"),
        ("(body).a == '\\u0041\\x42\\n\\''", "body['a'] == 'AB\\n\\''"),
    ],
)
def test_cel(written: str, ours: str) -> None:
    """What has an equal here; and it compiles."""
    assert translate(written).text == ours
    if not ours.startswith("(["):
        Condition(ours)


@pytest.mark.parametrize(
    "written",
    [
        "",
        "body.a ==",
        "body.a == 'x",
        "body.a == 1u",
        "body.a.map(x, x)",
        "body.a.matches(body.b)",
        "requestURL.parseURL().path",
        "extensions.none",
        "extensions",
        "header",
        "header['X-Token']",
        "body.token == 'hidden'",
        "'hidden' in body.auth.secret",
        "body.a 'hidden'",
        "'hidden",
        "header.get('x')",
        "compareSecret('a', 'b')",
        "body[body.a]",
        "body[12345678901]",
        "body.",
        "-body.a",
        "body.a 'x'",
        "body.a ? 1",
        "[1, 2",
        "[1 2]",
        "'\\q'",
        "has(body)",
        "(" * 100 + "body" + ")" * 100,
        "!" * 1000 + "body.a",
        "body.a[" * 100,
        "body.a.size(1)",
        "has(body.a.b) == false",
        "(body.a || body.b) ? 1 : 2",
        "body.a ? 1 : 2",
        "body.a ? 1 : " * 100 + "1",
    ],
)
def test_what_cel_has_more_of_is_refused(written: str) -> None:
    """By its name."""
    with pytest.raises(Untranslatable, match=r".{5}") as refused:
        translate(written)
    assert "hidden" not in str(refused.value)


def test_a_filter_becomes_as_many_lines_as_it_has_conditions() -> None:
    """Only where they are joined by `&&` at the outermost."""
    assert conditions("body.a == 1 && (body.b || body.c) && body.d") == [
        "body.a == 1",
        "(body.b is true) or (body.c is true)",
        "body.d",
    ]
    assert len(conditions("body.a && body.b || body.c")) == 1


EVENTS = [
    {},
    {"a": 1},
    {"a": "x", "b": True},
    {"b": False, "c": {"d": "x"}},
    {"a": "x", "b": None, "c": None},
    {"a": 0, "b": 0, "c": {"e": "x"}},
    {"a": "y", "b": True, "c": {"d": "y", "e": None}},
]
LEAVES = {
    "body.a == 'x'": lambda body: _at(body, "a") == "x",
    "body.b": lambda body: _at(body, "b"),
    "has(body.c.d)": lambda body: "d" in _mapping(_at(body, "c")),
    "body.c.d.startsWith('x')": lambda body: _at(_at(body, "c"), "d").startswith("x"),
    "(body.a == 'x' ? body.b : body.c.e == 'x')": lambda body: (
        _at(body, "b") if _at(body, "a") == "x" else _at(_at(body, "c"), "e") == "x"
    ),
}


class CelError(Exception):
    """A key that is not there, or something that is neither true nor false."""


def _at(body: Any, key: str) -> Any:
    if key not in _mapping(body):
        raise CelError
    return body[key]


def _mapping(value: Any) -> Any:
    if not isinstance(value, dict):
        raise CelError
    return value


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise CelError
    return value


def judged(tree: Any, body: Any) -> bool:
    """Evaluate as CEL's specification says: `&&` and `||` make good an error of one side."""
    if isinstance(tree, str):
        return _bool(LEAVES[tree](body))
    kind, *parts = tree
    if kind == "!":
        return not judged(parts[0], body)
    verdicts = []
    for part in parts:
        try:
            verdicts.append(judged(part, body))
        except CelError:
            verdicts.append(None)
    if (kind == "||") in verdicts:
        return kind == "||"
    if None in verdicts:
        raise CelError
    return kind == "&&"


def spelt(tree: Any) -> str:
    if isinstance(tree, str):
        return tree
    kind, *parts = tree
    return f"!({spelt(parts[0])})" if kind == "!" else f"({f' {kind} '.join(map(spelt, parts))})"


TREES = st.recursive(
    st.sampled_from(sorted(LEAVES)),
    lambda inner: st.one_of(
        st.tuples(st.just("!"), inner), st.tuples(st.just("&&"), inner, inner), st.tuples(st.just("||"), inner, inner)
    ),
    max_leaves=6,
)


@given(tree=TREES)
@settings(max_examples=300)
def test_a_translated_filter_never_holds_where_the_first_did_not(tree: Any) -> None:
    """Whatever an event lacks: the rule may run too rarely, never too often; and for a whole event just as often."""
    lines = [Condition(line) for line in conditions(spelt(tree))]
    for body in EVENTS:
        try:
            wanted = judged(tree, body)
        except CelError:
            wanted = False
        holds = all(line.evaluate({"body": body}).verdict == "true" for line in lines)
        assert wanted or not holds, (spelt(tree), body)
        if body is EVENTS[-1]:
            assert holds == wanted, (spelt(tree), body)


RULES = st.recursive(
    st.builds(
        match,
        st.just("value"),
        st.just("payload"),
        st.sampled_from(["a", "b", "c.d"]),
        value=st.sampled_from(["x", "true", "1"]),
    )
    | st.builds(match, st.just("regex"), st.just("payload"), st.sampled_from(["a", "c.d"]), regex=st.just("^[xt]")),
    lambda inner: st.one_of(
        st.builds(lambda one: {"not": one}, inner),
        st.builds(lambda some: {"and": some}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda some: {"or": some}, st.lists(inner, min_size=1, max_size=3)),
    ),
    max_leaves=6,
)


def hooked(rule: Any, body: Any) -> bool:
    """Evaluate as adnanh/webhook does: a parameter that is not there matches nothing."""
    [(kind, inner)] = rule.items()
    if kind == "match":
        value = body
        for step in inner["parameter"]["name"].split("."):
            if not isinstance(value, dict) or step not in value:
                return False
            value = value[step]
        if value is None:
            return False
        text = value if isinstance(value, str) else json.dumps(value)
        return text == inner["value"] if inner["type"] == "value" else re.search(inner["regex"], text) is not None
    if kind == "not":
        return not hooked(inner, body)
    return (all if kind == "and" else any)(hooked(part, body) for part in inner)


@given(rule=RULES)
@settings(max_examples=300)
def test_a_translated_hook_holds_exactly_where_the_first_did(rule: Any) -> None:
    """Missing parameters, numbers and booleans included."""
    lines = [Condition(line) for line in hook(**{"trigger-rule": rule}).rules[0].when]
    for body in EVENTS:
        holds = all(line.evaluate({"body": body}).verdict == "true" for line in lines)
        assert holds == hooked(rule, body), (rule, body)


WORDS = st.sampled_from(
    """and or not match type value regex parameter source name payload header url id trigger-rule execute-command
    payload-hash-sha1 secret pass-arguments-to-command envname genericVariables key $.a[0] regexpFilterText $a ^a$ token
    regexpFilterExpression genericHeaderVariables defaultValue kind EventListener Trigger TriggerBinding TriggerTemplate
    metadata spec triggers interceptors cel filter overlays expression github secretRef secretName eventTypes bindings
    ref template params default triggerRef resourcetemplates body.a=='x' $(body.a) $(extensions.b) X-GitHub-Event push
    has(body.a)||body.b true 012 3.10 null ~""".split()
)
TEXTS = WORDS | st.text(max_size=12)
JUNK = st.recursive(
    TEXTS | st.integers() | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=5),
    max_leaves=25,
)
HOOKS = st.lists(st.fixed_dictionaries({"id": TEXTS, "trigger-rule": RULES | JUNK}, optional={
    "execute-command": TEXTS,
    "pass-arguments-to-command": st.lists(
        st.fixed_dictionaries({"source": st.sampled_from(["payload", "header", "string", "url"]), "name": TEXTS})
    ),
}), max_size=4)  # fmt: skip
TRIGGERS = st.fixed_dictionaries({}, optional={
    "genericVariables": st.lists(st.fixed_dictionaries({"key": TEXTS, "value": TEXTS, "defaultValue": TEXTS})),
    "genericHeaderVariables": st.lists(st.fixed_dictionaries({"key": TEXTS})),
    "regexpFilterText": TEXTS,
    "regexpFilterExpression": TEXTS,
    "name": TEXTS,
    "token": TEXTS,
})  # fmt: skip
PARAMS = st.lists(st.fixed_dictionaries({"name": TEXTS, "value": TEXTS}, optional={"default": TEXTS}), max_size=3)
FILTERS = TEXTS | TREES.map(spelt)
LISTENERS = st.fixed_dictionaries({
    "kind": st.just("EventListener"),
    "spec": st.fixed_dictionaries({"triggers": st.lists(st.fixed_dictionaries({"name": TEXTS}, optional={
        "interceptors": st.lists(st.fixed_dictionaries({"cel": st.fixed_dictionaries({"filter": FILTERS})})) | JUNK,
        "bindings": PARAMS,
        "template": st.fixed_dictionaries({"spec": st.fixed_dictionaries({"params": PARAMS})}) | JUNK,
    }), max_size=3)}),
})  # fmt: skip


@pytest.mark.parametrize(("kind", "shaped"), [("adnanh", HOOKS), ("gwt", TRIGGERS), ("tekton", LISTENERS)])
@given(data=st.data())
@settings(max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_whatever_comes_in_what_comes_out_loads(kind: str, shaped: Any, tmp_path: Path, data: Any) -> None:
    """Or the file is refused with the place of what cannot be read."""
    written = json.dumps(data.draw(shaped | JUNK), ensure_ascii=data.draw(st.booleans()))
    try:
        draft = FORMATS[kind](written.encode("utf-8", "surrogatepass"), "file\nname.json")
    except ConfigError:
        return
    config = loaded(draft, tmp_path)
    assert len(config.ruleset.rules) == len(draft.rules)
    for source, event in ((rule.source, name_) for rule in config.ruleset.rules for name_ in (*rule.events, "request")):
        decide(config, Event(name=event, source=source, body={"a": "x"}), "d_1")


@pytest.mark.parametrize("data", [b"", b"# nothing\n---\n", b"]", b"\xff", b"a: &b 1"])
def test_a_file_that_cannot_be_read_is_refused_with_its_place(data: bytes) -> None:
    """As our own files are."""
    with pytest.raises(ConfigError, match=r"hooks.yaml:1:\d+: "):
        adnanh(data, "hooks.yaml")


def test_json_may_be_indented_with_tabs_and_documents_know_their_lines() -> None:
    """The places are those of the whole file."""
    assert adnanh(b'[\n\t{\n\t\t"id": "x"\n\t}\n]', "x").rules[0].name == "x"
    with pytest.raises(ConfigError, match=r"x:5:1: "):
        tekton(b"kind: Pod\n---\nkind: Pod\n---\n]\n", "x")


@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_what_is_written_is_read_back(text: str) -> None:
    """As a scalar, as a string of an expression, and as a text that is no expression."""
    found = Condition(f"body.a == {literal(text)}").evaluate({"body": {"a": text}})
    assert found.verdict == "true"
    assert verbatim("${{ x }}") == "${{ '${{ x }}' }}"
    report = Report("x", [])
    for flow in (False, True):
        written = f"{{a: {scalar(text, flow=True)}}}" if flow else f"a: {scalar(text)}"
        node = parse(written.encode(), report)
        assert isinstance(node, MapNode)
        value = node.entries["a"][1]
        assert isinstance(value, ScalarNode)
        assert value.text == text
        assert not value.null


def test_names_are_names() -> None:
    """Of rules, of environment variables, and in expressions."""
    assert [slug(text, "rule") for text in ("Deploy It!", "_x", "é", "a" * 99)] == ["deploy-it", "x", "rule", "a" * 50]
    assert [variable(text) for text in ("a-b", "1", "bridge token", "")] == [
        "A_B",
        "HOOK_1",
        "HOOK_BRIDGE_TOKEN",
        "HOOK",
    ]
    assert scalar("\ud800") == '"?"'
    assert name(("body", "a", 0, "b-c", "_d", "it's")) == "body.a[0]['b-c']['_d']['it\\'s']"
    assert path(".a['b c'][\"d\"][3].e-f") == ("body", "a", "b c", "d", 3, "e-f")


def test_what_does_not_compile_is_left_out_or_false() -> None:
    """The last look before anything is written."""
    draft = Draft("x")
    draft.add(Rule(name="r", source="s", when=["a b"], variables={"v": "${{ a b }}", "w": "x"}), 3)
    assert (draft.rules[0].when, draft.rules[0].variables) == (["false"], {"w": "x"})
    assert len(draft.told()) == 2
    assert Draft("x").text().splitlines()[1] == "# Everything in it was carried over."
