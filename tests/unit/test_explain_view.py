"""What a person reads of an explanation: the rule, the condition, and below it what its names were."""

from io import StringIO

import pytest
from msgspec import structs
from rich.console import Console

from bridge.config import load
from bridge.explain_view import View
from bridge.explanation import ask, explain
from bridge.expressions import Condition
from bridge.model import Command, Event

CONFIG = """
version: 1
sources:
  github: {type: github, secrets: [{env: A}]}
  slack: {type: slack, secrets: [{env: A}]}
engines:
  genesis: {type: genesis, api_key: {env: A}}
  agent: {type: agentifyme, api_key: {env: A}, endpoint: my-agent}
templates:
  e2e:
    engine: genesis
    id: 7b1f0c9e-3a5d-4c1e-9f00-2b6a7d1e8c44
    variables: {url: {required: true}, branch: {default: main}}
  look:
    engine: agent
    id: look-at-service
    mode: sync
    deadline: 1m
    variables: {service: {required: true}, hours: {type: number}}
notifiers:
  qa: {type: slack, token: {env: A}, channel: C0123ABCD}
rules:
  - name: preview
    source: github
    event: deployment_status
    when: [state == 'success', "environment is like 'Preview*' or branch == 'main'"]
    template: e2e
    variables: {url: "${{ url }}"}
    notify: [qa]
  - name: digs
    source: github
    event: deployment_status
    when: [body.deployment.reff == 'x', body.zzz.further == 1, branch.name == 'x', number > 1, body.none.x == 1]
    template: e2e
    variables: {url: "${{ url }}", branch: "${{ branch }}-${{ nothing | default('x') }}"}
  - {name: pushed, source: github, event: push, template: e2e, variables: {url: "${{ url }}", branch: "${{ tag }}"}}
  - name: slash
    source: slack
    event: /genesis
    usage: e2e <url>
    template: e2e
    variables: {url: "${{ args.url }}"}
  - name: look
    source: slack
    event: /look
    usage: <service> [hours=1]
    template: look
    variables: {service: "${{ args.service }}", hours: "${{ args.hours }}"}
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("viewed") / "bridge.yaml"
    path.write_text(CONFIG.replace("${{ nothing | default('x') }}", "x"))
    return load(path, None)


def viewed(config, event, *, terminal=False, **known):
    """Return what is printed; on a terminal with its colours."""
    out = StringIO()
    console = Console(
        file=out, width=60, highlight=False, force_terminal=terminal, color_system="standard" if terminal else None
    )
    View(console, explain(config, event), **known).show()
    return out.getvalue()


def deployed(**facts):
    body = {"deployment": {"ref": "main", "sha": "1"}, "none": None}
    facts = {"state": "success", "environment": "production", "branch": "dev", "url": "https://x"} | facts
    return Event(name="deployment_status", source="github", body=body, facts=facts)


def known(config, event):
    return {"names": event.names(), "decision": ask(config, event), "places": {"preview": "bridge.yaml:20:5"}}


def test_a_false_condition_shows_what_each_name_was(config):
    """Markers below the names, the values below the markers; conditions that hold are one line."""
    event = deployed()
    assert viewed(config, event, **known(config, event)).split("\n\n")[1] == (
        "✗ preview does not run  bridge.yaml:20:5\n"
        "  ✓ state == 'success'  state is 'success'\n"
        "  ✗ environment is like 'Preview*' or branch == 'main'\n"
        "    ^^^^^^^^^^^                       ^^^^^^ 'dev'\n"
        "    'production'"
    )


def test_a_missing_name_says_where_the_way_ends_and_what_was_meant(config):
    """The nearest name there, or what is there; a fact the event does not carry; an error in the rule's own words."""
    event = deployed(number="7")
    assert viewed(config, event, **known(config, event)).split("\n\n")[2] == (
        "! digs cannot run\n"
        "  ? body.deployment.reff == 'x'\n"
        "    ^^^^^^^^^^^^^^^^^^^^ missing: no reff in body.deployment, did you mean ref?\n"
        "  ? body.zzz.further == 1\n"
        "    ^^^^^^^^^^^^^^^^ missing: no zzz in body, there is deployment, none\n"
        "  ? branch.name == 'x'\n"
        "    ^^^^^^^^^^^ missing: branch is 'dev'\n"
        "  ! number > 1\n"
        "    ^^^^^^ '7'\n"
        "    TypeError: '>' not supported between instances of 'str' and 'int'\n"
        "  ? body.none.x == 1\n"
        "    ^^^^^^^^^^^ missing: body.none is None"
    )


def test_a_rule_that_runs_says_what_would_be_sent(config):
    """Template, engine, variables, and who is told."""
    event = deployed(environment="Preview 1")
    assert viewed(config, event, **known(config, event)).split("\n\n")[1].splitlines()[3:] == [
        "  starts e2e on genesis, 7b1f0c9e-3a5d-4c1e-9f00-2b6a7d1e8c44",
        "    branch  main",
        "    url     https://x",
        "  tells qa",
    ]


def test_what_only_one_engine_has_is_shown_too(config):
    """Of its templates and their variables; a value of another type than the variable's keeps the rule from running."""
    command = Event(name="/look", source="slack", command=Command(name="/look", word="/look", text="api hours=5"))
    assert viewed(config, command, **known(config, command)).split("\n\n")[1].splitlines()[1:] == [
        "  starts look on agent, look-at-service  (mode: sync)",
        "    service  api  (type: text)",
        "    hours    5  (type: number)",
    ]
    for said, shown in (("many", "'many'"), ("https://x/?token=abc", "'https://x/?token=(secret)'")):
        wrong = viewed(
            config, structs.replace(command, command=Command(name="/look", word="/look", text=f"api hours={said}"))
        )
        assert f"variable 'hours' is {shown}, which is not a number" in wrong


def test_the_event_is_shown_first(config):
    """How many rules would run, and the facts, long ones cut and odd ones made visible."""
    event = deployed(environment="Preview 1", labels=["bug"], title="a\nb", files={"added": ["x"] * 50}, draft=False)
    assert viewed(config, event).split("\n\n")[0].splitlines() == [
        "deployment_status from github: 1 of 3 rules would run",
        "  state        success",
        "  environment  Preview 1",
        "  branch       dev",
        "  url          https://x",
        '  labels       ["bug"]',
        "  title        'a\\nb'",
        "  files.added  " + str(["x"] * 50).replace(" ", "").replace("'", '"')[:70] + "...",
        "  draft        false",
    ]


def test_a_variable_that_cannot_be_had_is_shown_as_the_reason(config):
    """The conditions hold, and still it cannot run: one line for each variable."""
    event = Event(name="push", source="github")
    shown = viewed(config, event)
    assert "! pushed cannot run\n  variable 'url': url is missing\n  variable 'branch': tag is missing\n" in shown


def test_what_is_not_asked_is_a_line_each(config):
    """With the event it is for; where nothing is asked that is said."""
    shown = viewed(config, Event(name="issues", action="opened", source="github"))
    assert "No rule of this source takes this event:\n" in shown
    assert "- preview  takes 'deployment_status'\n" in shown
    shown = viewed(config, deployed())
    assert shown.endswith("Not asked, for they take other events:\n- pushed  takes 'push'\n")


def test_many_of_them_are_counted(config):
    """A thousand rules for other events are no answer."""
    told = explain(config, Event(name="issues", source="github"))
    out = StringIO()
    View(Console(file=out), structs.replace(told, rules=told.rules * 5)).show()
    assert "- and 7 more (--json has all)\n" in out.getvalue()
    assert out.getvalue().count(" takes '") == 8


@pytest.mark.parametrize(
    ("event", "says"),
    [
        (Event(name="ping", source="github", ignored="a ping"), "It starts nothing: a ping\n"),
        (
            Event(name="/genesis", source="slack", command=Command(name="/genesis", word="/genesis", text="help")),
            "It starts nothing: /genesis e2e <url>\n",
        ),
    ],
)
def test_what_is_not_matched_at_all_has_one_reason(config, event, says):
    """A ping, and a question for help, whose answer is shown."""
    assert viewed(config, event, **known(config, event)).endswith(says)


def test_a_wrong_use_of_a_command_is_the_reason(config):
    """As the person would read it."""
    event = Event(name="/genesis", source="slack", command=Command(name="/genesis", word="/genesis", text="e2e"))
    shown = viewed(config, event, **known(config, event))
    assert "✗ slash does not run\n  <url> is missing. Expected: e2e <url>\n" in shown


def test_colours_are_for_terminals(config):
    """Red and underlining markers there, plain text in a file."""
    assert "\x1b[31m" in viewed(config, deployed(), terminal=True)
    assert "\x1b[" not in viewed(config, deployed())


def test_without_the_event_a_missing_name_is_just_missing(config):
    """Of a stored delivery only the facts are at hand: nothing is guessed about the rest."""
    shown = viewed(config, deployed(number=2))
    assert "^^^^^^^^^^^^^^^^^^^^ missing\n" in shown
    assert "^^^^^^^^^^^ missing: branch is 'dev'\n" in shown
    assert "environment is like" in viewed(config, Event(name="deployment_status", source="github"))
    assert "^^^^^ missing: this event does not carry it\n" in viewed(
        config, Event(name="deployment_status", source="github")
    )


@pytest.mark.parametrize("text", ["\x1b[2J", "a\rb", "\x9b1m", "\u202egnp"])
def test_no_event_steers_the_terminal(config, text):
    """Neither as a value, nor in a reason, nor by its name; and nothing of it is taken for markup."""
    event = deployed(environment=f"{text}[red]", branch=text, url=text)
    command = Command(name=f"/{text}", word=f"/{text}", text=f"e2e x {text}")
    typed = Event(name=f"/{text}", source="slack", command=command, facts={"command": "/x"})
    for happened in (event, typed, structs.replace(event, facts=event.facts | {"environment": f"Preview{text}"})):
        shown = viewed(config, happened, **known(config, happened))
        assert all(line.isprintable() for line in shown.split("\n"))
    assert "[red]'" in viewed(config, event)


def test_markers_stand_below_the_names_whatever_stands_before_them(config):
    """Wide characters count twice, as on a terminal, and a condition of several lines is one."""
    condition = Condition("'本番' == environment and\nbranch == 'x'")
    event = deployed()
    [rule, *_] = (told := explain(config, event)).rules
    told = structs.replace(told, rules=[structs.replace(rule, conditions=[condition.evaluate(event.names())])])
    out = StringIO()
    View(Console(file=out), told).show()
    assert out.getvalue().endswith(
        "  ✗ '本番' == environment and branch == 'x'\n"
        "              ^^^^^^^^^^^     ^^^^^^ 'dev'\n"
        "              'production'\n"
    )
