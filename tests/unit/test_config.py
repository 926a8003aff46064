"""A configuration is loaded whole, or refused with every mistake at its file, line and column."""

import hashlib
import time
from datetime import timedelta

import pytest

from bridge.config import KEYS, load
from bridge.errors import ConfigError
from bridge.expressions import Text
from bridge.model import Event
from bridge.rules import evaluate

ENVIRON = {
    "GITHUB_WEBHOOK_SECRET": "github-secret-0123456789",
    "SLACK_SIGNING_SECRET": "slack-secret-0123456789",
    "RELAY_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "GENESIS_API_KEY": "genesis-key",
    "CALLBACK_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "SLACK_BOT_TOKEN": "xoxb-1",
}
BASE = """\
version: 1
sources:
  github: {type: github, secrets: [{env: GITHUB_WEBHOOK_SECRET}]}
  slack: {type: slack, secrets: [{env: SLACK_SIGNING_SECRET}]}
  relay:
    type: generic
    auth: {type: hmac, preset: standard-webhooks, secrets: [{env: RELAY_SECRET}]}
    event: ${{ body.type }}
engines:
  genesis: {type: genesis, api_key: {env: GENESIS_API_KEY}, poll: {first: 1s, max: 15s}}
templates:
  e2e:
    engine: genesis
    id: 7b1f0c9e-3a5d-4c1e-9f00-2b6a7d1e8c44
    variables:
      target_url: {required: true, pattern: 'https://.*'}
      branch: {default: main}
      browser: {default: chrome, choices: [chrome, firefox]}
      note:
    deadline: 1h
notifiers:
  ci: {type: callback, url: https://ci.example.com/hooks/genesis, secrets: [{env: CALLBACK_SECRET}]}
  asker: {type: callback, url: "${{ body.callback_url }}", secrets: [{env: CALLBACK_SECRET}]}
  qa: {type: slack, token: {env: SLACK_BOT_TOKEN}, channel: C0123ABCD, on_status: [failed, review_pending]}
  reply: {type: slack_reply, token: {env: SLACK_BOT_TOKEN}}
"""
BASE_LINES = BASE.count("\n")
RULES = """\
rules:
  - name: e2e-on-preview
    source: github
    event: deployment_status
    when:
      - state == 'success'
      - environment is like 'Preview*'
    template: e2e
    variables: {target_url: "${{ url }}", branch: "${{ branch }}"}
    notify: [ci, qa]
  - name: slash-e2e
    source: slack
    event: /genesis
    usage: e2e <url> [branch=main] [browser=chrome|firefox]
    description: Run the end-to-end suite against a URL
    template: e2e
    variables: {target_url: "${{ args.url }}", branch: "${{ args.branch }}", browser: "${{ args.browser }}"}
    notify: [reply]
"""


@pytest.fixture
def read(tmp_path):
    """Write files by name, load the first, and return the configuration."""

    def write_and_load(main, environ=ENVIRON, **others):
        for name, text in {"bridge": main, **others}.items():
            path = tmp_path / f"{name.replace('__', '/')}.yaml"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load(tmp_path / "bridge.yaml", environ)

    return write_and_load


@pytest.fixture
def refused(read, tmp_path):
    """Return the problems of files as `file:line:column: message`, relative to where they are."""

    def problems(main, **others):
        with pytest.raises(ConfigError) as caught:
            read(main, **others)
        return [str(problem).removeprefix(f"{tmp_path}/") for problem in caught.value.problems]

    return problems


@pytest.mark.parametrize("level", ["strict", "standard", "none"])
def test_durability_is_one_of_three_words(read, level):
    """`none` is a word, not the absence of one."""
    assert read(f"{BASE}durability: {level}\n").durability == level


def test_without_durability_it_is_standard(read):
    """The level that a Redis with its append-only file on has."""
    assert read(BASE).durability == "standard"


def test_another_durability_is_refused_with_its_place(refused):
    """And an included file has no say in it."""
    [wrong] = refused(f"{BASE}durability: stict\n")
    assert wrong.startswith(f"bridge.yaml:{BASE_LINES + 1}:13: durability")
    assert "strict" in wrong
    [other] = refused(f"{BASE}include: other.yaml\n", other="durability: none\n")
    assert other.startswith("other.yaml:1:1: 'durability' holds for everything: say it in the main file")


def test_bodies_are_kept_for_a_week_or_as_long_as_retention_says(read, refused):
    """In the main file only; a wrong one is refused with its place."""
    assert read(BASE).retention == timedelta(days=7)
    assert read(f"{BASE}retention: 36h\n").retention == timedelta(hours=36)
    [wrong] = refused(f"{BASE}retention: 7 days\n")
    assert wrong.startswith(f"bridge.yaml:{BASE_LINES + 1}:12: retention: '7 days' is not a duration")
    [other] = refused(f"{BASE}include: other.yaml\n", other="retention: 1d\n")
    assert other.startswith("other.yaml:1:1: 'retention' holds for everything")


def changed(old, new, text=BASE + RULES):
    """Return a text with one occurrence replaced, which must be there."""
    assert text.count(old) == 1
    return text.replace(old, new)


def rule(**lines):
    """Return the base with one rule of these fields, each on its own line, `source` the first in column 5."""
    fields = {"source": "github", "event": "push", "template": "e2e", "variables": "{target_url: https://x}"} | lines
    body = "".join(f"    {key}: {value}\n" for key, value in fields.items() if value is not None)
    return f"{BASE}rules:\n  - name: r\n{body}"


def test_loads_what_the_specification_shows(read, tmp_path):
    """Everything a configuration can hold is there, under its name and as its type."""
    config = read(BASE + RULES)
    assert list(config.sources) == ["github", "slack", "relay"]
    assert list(config.engines) == ["genesis"]
    assert list(config.notifiers) == ["ci", "asker", "qa", "reply"]
    assert config.templates["e2e"].deadline.total_seconds() == 3600
    assert config.templates["e2e"].variables["note"].default is None
    assert config.engines["genesis"].poll.max.total_seconds() == 15
    assert isinstance(config.sources["relay"].event, Text)
    assert [one.name for one in config.ruleset.rules] == ["e2e-on-preview", "slash-e2e"]
    assert config.files == (tmp_path / "bridge.yaml",)
    assert config.hash == hashlib.sha256((BASE + RULES).encode()).hexdigest()[:16]


def test_a_loaded_rule_decides(read):
    """What was loaded can be evaluated: defaults, expressions and all."""
    config = read(BASE + RULES)
    facts = {"state": "success", "environment": "Preview 7", "url": "https://p7", "branch": "dev"}
    event = Event(name="deployment_status", source="github", facts=facts)
    [found] = config.ruleset.candidates(event)
    result = evaluate(found, config.templates["e2e"], event)
    assert result.variables == {"target_url": "https://p7", "branch": "dev", "browser": "chrome"}


def test_secrets_stay_unread_without_an_environment(read):
    """`check --no-secrets` finds everything but the secrets."""
    config = read(BASE + RULES, environ=None)
    with pytest.raises(LookupError):
        config.engines["genesis"].api_key.reveal()


@pytest.mark.parametrize(
    "text", [BASE, BASE + "rules:\n", BASE + "rules: []\n", "version: 1\nsources:\nengines: {}\nrules: ~\n"]
)
def test_sections_may_be_empty(read, text):
    """Left out, null and empty sections are sections without entries."""
    assert read(text).ruleset.rules == ()


@pytest.mark.parametrize("value", ["on", "yes", "no", "3.10", "012", "1e3", "2026-11-22", "22:30", "true", "0x1F"])
def test_text_stays_as_written(read, value):
    """Where text is wanted nothing is turned into a boolean, a number or a date, quoted or not."""
    config = read(rule(variables=f"{{target_url: https://x, branch: {value}}}"))
    assert config.ruleset.rules[0].variables["branch"].source == value
    config = read(changed("{default: main}", f"{{default: {value}, choices: [{value}]}}"))
    assert config.templates["e2e"].variables["branch"].default == value


def test_one_condition_may_stand_for_a_list(read):
    """`when:` takes a single condition as well; so does `event:` a single name or several."""
    config = read(rule(when="branch == 'main'", event="[push, pull_request.opened]"))
    assert [condition.source for condition in config.ruleset.rules[0].when] == ["branch == 'main'"]
    assert config.ruleset.rules[0].events == ("push", "pull_request.opened")


def test_a_rule_may_take_everything_if_it_says_so(read):
    """`always: true` is enough without event and condition."""
    assert read(rule(event=None, always="true")).ruleset.rules[0].always


def test_includes_files_in_sorted_order(read, tmp_path):
    """Globs are relative to the main file; each file is read once, and the hash covers all bytes in order."""
    main = f"include: ['rules/*.yaml', rules/b.yaml, '*.yaml']\n{BASE}"
    first, second = (RULES.replace("e2e-on-preview", name).replace("slash-e2e", f"{name}2") for name in ("b", "a"))
    config = read(main, rules__b=first, rules__a=f"version: 1\n{second}")
    assert [one.name for one in config.ruleset.rules] == ["a", "a2", "b", "b2"]
    assert config.files == (tmp_path / "bridge.yaml", tmp_path / "rules/a.yaml", tmp_path / "rules/b.yaml")
    everything = main + f"version: 1\n{second}" + first
    assert config.hash == hashlib.sha256(everything.encode()).hexdigest()[:16]


def test_an_included_file_may_hold_any_section(read):
    """Templates, sources and the like may stand beside rules; one glob needs no list."""
    head, tail = BASE.split("engines:")
    assert read(f"include: more.yaml\n{head}", more=f"engines:{tail}").engines.keys() == {"genesis"}


def test_the_same_bytes_have_the_same_hash(read):
    """The hash changes with the files and with nothing else."""
    assert read(BASE).hash == read(BASE).hash != read(f"{BASE}\n").hash


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "bridge.yaml:1:1: the file is empty"),
        ("- a\n", f"bridge.yaml:1:1: a configuration is a mapping with the keys {', '.join(KEYS)}"),
        ("just text\n", "bridge.yaml:1:1: a configuration is a mapping"),
        (b"\xff\xfe", "bridge.yaml:1:1: this byte is not UTF-8 text"),
        ("a:\n\t- b\n", "bridge.yaml:2:1: found character that cannot start any token: YAML does not indent with tabs"),
        ("a: " + "[" * 200 + "]" * 200, "bridge.yaml:1:53: nested more than 50 levels deep"),
        ("a: &x 1\n", "bridge.yaml:1:4: anchors"),
        ("#" * 1_000_001, "bridge.yaml:1:1: the file is larger than 1,000,000 bytes"),
        ("sources: {}\n", "bridge.yaml:1:1: 'version' is missing: begin the file with `version: 1`"),
        ("version: 2\n", "bridge.yaml:1:10: this genesis-bridge reads version 1: write `version: 1`"),
        ("version: [1]\n", "bridge.yaml:1:10: this genesis-bridge reads version 1"),
        ("version: 1\nsorces: {}\n", "bridge.yaml:2:1: unknown key 'sorces': did you mean 'sources'?"),
        ("version: 1\nversion: 1\n", "bridge.yaml:2:1: duplicate key 'version': it stands in line 1 already"),
        ("version: 1\nsources: [a]\n", "bridge.yaml:2:10: 'sources' is a mapping from names to sources"),
        ("version: 1\nrules: {a: b}\n", "bridge.yaml:2:8: 'rules' is a list: begin each rule with `- name:`"),
        ("version: 1\nrules: [a]\n", "bridge.yaml:2:9: rule 1 is not a mapping: begin it with `- name:`"),
        ("version: 1\ninclude: gone/*.yaml\n", "bridge.yaml:2:10: no file matches 'gone/*.yaml' beside bridge.yaml"),
        ("version: 1\ninclude: [[a]]\n", "bridge.yaml:2:11: include: expected text, not a list"),
        ("version: 1\ninclude: {a: b}\n", "bridge.yaml:2:10: include: expected a list, not a mapping"),
    ],
)
def test_a_file_that_makes_no_sense_is_one_problem(refused, text, problem):
    """Whatever is in the file, the answer is a problem with a place, never a traceback."""
    [found] = refused(text)
    assert found.startswith(problem)


def test_a_missing_or_unreadable_file_is_a_problem(tmp_path):
    """A file that is not there, or is a directory, is said to be so."""
    for path, reason in ((tmp_path / "gone.yaml", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(ConfigError, match=f"{path}:1:1: the file cannot be read: {reason}"):
            load(path, ENVIRON)


def test_a_broken_included_file_is_the_only_problem(refused):
    """When a file cannot be read, names it may have held are not called unknown."""
    main = f"include: templates.yaml\n{rule(template='elsewhere')}"
    [problem] = refused(main, templates="templates: {\n")
    assert problem.startswith("templates.yaml:2:1: did not find expected node content")
    assert refused(main, templates="just text") == [
        f"templates.yaml:1:1: a configuration is a mapping with the keys {', '.join(KEYS)}"
    ]


def test_includes_do_not_nest(refused):
    """An included file that includes others is refused at its key."""
    problems = refused(f"include: a.yaml\n{BASE}", a="include: b.yaml\n")
    assert problems == ["a.yaml:1:1: an included file does not include others: name them in the main file"]


def test_names_are_unique_over_all_files(refused, tmp_path):
    """A second thing or rule of the same name is a problem that says where the first one is."""
    problems = refused(f"include: z.yaml\n{BASE}{RULES}", z=f"engines:{BASE.split('engines:')[1]}{RULES}")
    first = f"there is another of this name at {tmp_path}/bridge.yaml"
    assert [problem for problem in problems if "engine" in problem or "rule" in problem] == [
        f"z.yaml:2:3: engine 'genesis': {first}:11",
        f"z.yaml:19:5: rule 'e2e-on-preview': {first}:28",
        f"z.yaml:28:5: rule 'slash-e2e': {first}:37",
    ]
    assert len(problems) == 8


@pytest.mark.parametrize("name", ["Upper", "-dash", "a b", "a.b", "''", "x" * 65, '"a\\n"', "ä"])
def test_names_are_plain(refused, name):
    """Names of things and rules are lower-case letters, digits, - and _."""
    expected = "expected a name of at most 64 lower-case letters, digits, - and _ that begins with a letter or a digit"
    [found] = refused(changed("  ci:", f"  {name}:", BASE))
    assert found.startswith("bridge.yaml:22:3: notifier ")
    assert expected in found
    [found] = refused(rule().replace("name: r\n", f"name: {name}\n"))
    assert found.startswith(f"bridge.yaml:{BASE_LINES + 2}:11: rule ")
    assert expected in found


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            "{type: github, sec",
            "{type: githb, sec",
            "3:18: source 'github': unknown type 'githb': did you mean 'github'?",
        ),
        (
            "{type: github, secrets",
            "{type: github, secrts",
            "3:26: source 'github': unknown key 'secrts': did you mean",
        ),
        (
            "[{env: GITHUB_WEBHOOK_SECRET}]",
            "[]",
            "3:35: source 'github': expected a list of length >= 1, not of length 0",
        ),
        (
            "env: GITHUB_WEBHOOK_SECRET",
            "env: GONE",
            "3:36: source 'github': the environment variable GONE (or GONE_FILE)",
        ),
        ("{env: GENESIS_API_KEY}", "s3cret", "10:37: engine 'genesis': a secret is never written here"),
        ("first: 1s", "first: soon", "10:75: engine 'genesis': 'soon' is not a duration"),
        ("body.type", "bdy.type", "8:12: source 'relay': unknown name 'bdy': did you mean 'body'?"),
        ("body.type", "branch", "8:12: source 'relay': unknown name 'branch'"),
        ("body.type", "args.x", "8:12: source 'relay': `args` is what a command's `usage:` line names"),
        (
            "engine: genesis",
            "engine: gensis",
            "13:13: template 'e2e': unknown engine 'gensis': did you mean 'genesis'?",
        ),
        ("7b1f0c9e-3a5d-4c1e-9f00-2b6a7d1e8c44", "e2e", "14:9: template 'e2e': "),
        ("required: true", "required: yes", "16:30: template 'e2e': expected true or false, not 'yes'"),
        ("required: true", "requird: true", "16:20: template 'e2e': unknown key 'requird': did you mean 'required'?"),
        ("'https://.*'", "'('", "16:45: template 'e2e': the pattern '(' is not a regular expression RE2 knows"),
        ("default: chrome", "default: opera", "18:26: template 'e2e': variable 'browser' is 'opera', which is none of"),
        (
            "{default: main}",
            "{choices: []}",
            "17:25: template 'e2e': variable 'branch': an empty list of choices allows",
        ),
        (
            "{default: main}",
            "{default: a, pattern: b}",
            "17:25: template 'e2e': variable 'branch' is 'a', which does not",
        ),
        (
            "  e2e:\n    engine",
            "  e2e2: 5\n  e2e:\n    engine",
            "12:9: template 'e2e2': expected a mapping (key: value), not '5'",
        ),
        ("note:", "note: 5", "19:13: template 'e2e': expected a mapping (key: value), not '5'"),
        ("1h", "1y", "20:15: template 'e2e': '1y' is not a duration"),
        ("[failed, review", "[faild, review", "24:84: notifier 'qa': unknown value 'faild': did you mean 'failed'?"),
        ("body.callback_url", "bdy.callback_url", "23:32: notifier 'asker': unknown name 'bdy': did you mean 'body'?"),
    ],
)
def test_mistakes_in_named_things_are_found(refused, old, new, problem):
    """Types, keys, values, secrets, expressions and references are each refused where they stand."""
    [found] = refused(changed(old, new))
    assert found.startswith(f"bridge.yaml:{problem}")


SOURCE, EVENT, TEMPLATE, VARIABLES, EXTRA = (BASE_LINES + at for at in (3, 4, 5, 6, 7))


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ({"source": "githb"}, f"{SOURCE}:13: rule 'r': unknown source 'githb': did you mean 'github'?"),
        ({"template": "e3e"}, f"{TEMPLATE}:15: rule 'r': unknown template 'e3e': did you mean 'e2e'?"),
        ({"template": None}, f"{BASE_LINES + 2}:5: rule 'r': 'template' is missing"),
        ({"source": None}, f"{BASE_LINES + 2}:5: rule 'r': 'source' is missing"),
        ({"source": "[a]"}, f"{SOURCE}:13: rule 'r': expected text, not a list"),
        ({"notify": "[ci, pr]"}, f"{EXTRA}:18: rule 'r': unknown notifier 'pr'"),
        ({"notify": "[ci, ci]"}, f"{EXTRA}:18: rule 'r': notifier 'ci' is named twice"),
        ({"notify": "ci"}, f"{EXTRA}:13: rule 'r': expected a list, not 'ci'"),
        ({"notify": "[reply]"}, f"{EXTRA}:14: rule 'r': notifier 'reply' (type slack_reply) answers events of slack"),
        ({"when": "[brnch == 'x']"}, f"{EXTRA}:12: rule 'r': unknown name 'brnch': did you mean 'branch'?"),
        ({"when": "brnch == 'x'"}, f"{EXTRA}:11: rule 'r': unknown name 'brnch': did you mean 'branch'?"),
        ({"when": "[branch = 'x']"}, f"{EXTRA}:12: rule 'r': unexpected '=' after the end of the expression: to comp"),
        ({"when": "[branch is frob]"}, f"{EXTRA}:12: rule 'r': unknown test 'frob'"),
        ({"when": "files.aded == []"}, f"{EXTRA}:11: rule 'r': unknown name 'files.aded': did you mean 'files.added'"),
        ({"when": "headers['X-Id'] == 'x'"}, f"{EXTRA}:11: rule 'r': the names of headers are in lower case here: h"),
        ({"when": "args.x == 'x'"}, f"{EXTRA}:11: rule 'r': `args` is what a command's `usage:` line names"),
        ({"usage": "e2e <url>"}, f"{EXTRA}:12: rule 'r': `usage:` is for commands, and source 'github' (type github)"),
        ({"event": None}, f"{BASE_LINES + 2}:5: rule 'r': takes every event of its source: give it `event:`"),
        ({"event": "[]"}, f"{BASE_LINES + 2}:5: rule 'r': takes every event of its source: give it `event:`"),
        ({"event": None, "when": "[]"}, f"{BASE_LINES + 2}:5: rule 'r': takes every event of its source"),
        ({"always": "yes"}, f"{EXTRA}:13: rule 'r': expected true or false, not 'yes'"),
        ({"on_unknown": "rety"}, f"{EXTRA}:17: rule 'r': unknown value 'rety': did you mean 'retry'?"),
        ({"whn": "x"}, f"{EXTRA}:5: rule 'r': unknown key 'whn': did you mean 'when'?"),
        (
            {"variables": "{target_url: https://x, brnch: x}"},
            f"{VARIABLES}:40: rule 'r': unknown variable 'brnch': did you mean",
        ),
        (
            {"variables": "{branch: x}"},
            f"{VARIABLES}:16: rule 'r': variable 'target_url' is required by template 'e2e'",
        ),
        ({"variables": None}, f"{BASE_LINES + 2}:5: rule 'r': variable 'target_url' is required by template 'e2e'"),
        (
            {"variables": "{target_url: ftp://x}"},
            f"{VARIABLES}:29: rule 'r': variable 'target_url' is 'ftp://x', which",
        ),
        (
            {"variables": "{target_url: ''}"},
            f"{VARIABLES}:29: rule 'r': variable 'target_url' is required, and its val",
        ),
        (
            {"variables": "{target_url: }"},
            f"{VARIABLES}:29: rule 'r': nothing is written here; for empty text write ''",
        ),
        (
            {"variables": '{target_url: "${{ ur }}"}'},
            f"{VARIABLES}:29: rule 'r': unknown name 'ur': did you mean 'url'",
        ),
        ({"variables": '{target_url: "${{ url"}'}, f"{VARIABLES}:29: rule 'r': "),
    ],
)
def test_mistakes_in_rules_are_found(refused, lines, problem):
    """Unknown names, values that are not allowed and rules that cannot work are refused where they stand."""
    [found] = refused(rule(**lines))
    assert found.startswith(f"bridge.yaml:{problem}")


def test_args_are_what_the_usage_names(refused):
    """A rule with a usage line may use its arguments, and no others."""
    lines = {"source": "slack", "event": "/x", "usage": "e2e <url>"}
    [found] = refused(rule(**lines, variables='{target_url: "${{ args.uri }}"}'))
    assert found.endswith("rule 'r': unknown argument 'args.uri': did you mean 'args.url'?")


@pytest.mark.parametrize("name", ["response_url", "body.response_url", "body.token", "body.trigger_id"])
def test_credentials_of_an_event_are_for_conditions_only(refused, read, name):
    """A variable goes to the engine and into records, a channel to Slack; a condition only looks."""
    lines = {"source": "slack", "event": "/x"}
    [found] = refused(rule(**lines, variables=f'{{target_url: "https://x/${{{{ {name} }}}}"}}'))
    assert found.endswith(f"rule 'r': {name} is a credential: a condition may use it, a text may not")
    [found] = refused(changed("C0123ABCD", f'"${{{{ {name} }}}}"', rule(**lines, notify="[qa]")))
    assert "notifier 'qa'" in found
    assert "is a credential" in found
    assert read(rule(**lines, when=f"{name} is defined")).ruleset.rules


@pytest.mark.parametrize("name", ["headers['x-gitlab-token']", "headers.authorization", "query.access_token"])
def test_what_rules_never_see_is_said_at_load(refused, name):
    """Headers and parameters that are credentials by their name are left out of events, so using one is a mistake."""
    [found] = refused(rule(when=f'"{name} is defined"'))
    assert f"{name} is a credential by its name" in found


def test_what_cannot_be_checked_by_name_is_left_to_the_event(read):
    """Arguments as a whole and names that are computed are no mistakes."""
    when = """["headers[event] == 'x'", args | length == 1, "body['a b'][0] == 1"]"""
    config = read(rule(source="slack", event="/x", usage="e2e <url>", when=when))
    assert len(config.ruleset.rules[0].when) == 3


def test_a_notifier_is_checked_for_each_rule_that_uses_it(refused):
    """A name that only some sources have is a problem of the rules whose source lacks it, at the notifier."""
    main = changed('"${{ body.callback_url }}"', '"${{ channel_name }}"', rule(notify="[asker]"))
    second = rule(source="slack", event="/x", notify="[asker]").split("rules:\n")[1].replace("name: r", "name: s")
    [found] = refused(main + second)
    assert found.startswith("bridge.yaml:23:32: notifier 'asker': unknown name 'channel_name'")
    assert found.endswith("(for rule 'r', whose source is 'github')")


def test_a_required_variable_is_missed_once(refused):
    """A value that cannot be read is one mistake: the variable is not called missing as well."""
    assert len(refused(rule(variables='{target_url: "${{ url }"}'))) == 1


def test_a_broken_pattern_is_the_templates_mistake(refused):
    """Rules that give a value to a variable with a broken pattern are not blamed."""
    [found] = refused(changed("'https://.*'", "'('", rule()))
    assert "template 'e2e': the pattern" in found


def test_rules_without_a_name_are_told_by_their_place(refused):
    """A rule is named in problems by its name, or else by its number."""
    problems = refused(f"{BASE}rules:\n  - source: github\n  - nme: x\n    sorce: github\n")
    assert {problem.split(": ")[1] for problem in problems} == {"rule 1", "rule 2"}
    assert any("rule 2: unknown key 'nme': did you mean 'name'?" in problem for problem in problems)


def test_every_problem_is_told_at_once_in_order(refused):
    """Syntax of values, unknown names and missing secrets over all sections come together, sorted by place."""
    text = changed("type: slack, secrets", "type: slck, secrets")
    text = changed("env: GITHUB_WEBHOOK_SECRET", "env: GONE", text)
    text = changed("body.type", "bdy.type", text)
    text = changed("engine: genesis", "engine: gone", text)
    text = changed("1h", "soon", text)
    text = changed("on_status: [failed", "on_status: [faild", text)
    text = changed("state == 'success'\n      - env", "stat == 'success'\n      - env", text)
    text = changed("environment is like", "environment is lik", text)
    text = changed('branch: "${{ branch }}"}\n    notify: [ci, qa]', "brnch: x}\n    notify: [ci, q]", text)
    text = changed("source: slack\n", "source: slac\n", text)
    problems = refused(text)
    assert len(problems) == 11
    places = [tuple(map(int, problem.split(":")[1:3])) for problem in problems]
    assert places == sorted(places)


def test_several_conditions_and_values_are_each_refused(refused):
    """Every entry of a list or mapping reports its own problem at its own place."""
    problems = refused(
        rule(when="[a = b, branch == 'x', x ==]", variables='{target_url: "${{ u r l }}", branch: "${{ a * 2 }}"}')
    )
    assert [problem.split(": ")[0] for problem in problems] == [
        f"bridge.yaml:{VARIABLES}:29",
        f"bridge.yaml:{VARIABLES}:53",
        f"bridge.yaml:{EXTRA}:12",
        f"bridge.yaml:{EXTRA}:34",
    ]


def test_five_hundred_rules_load_quickly(read):
    """Loading is quick enough to do on every change of a file."""
    one = RULES.removeprefix("rules:\n")
    rules = "".join(one.replace("e2e-on-preview", f"p{at}").replace("slash-e2e", f"s{at}") for at in range(250))
    begin = time.perf_counter()
    config = read(f"{BASE}rules:\n{rules}")
    assert len(config.ruleset.rules) == 500
    assert time.perf_counter() - begin < 5
