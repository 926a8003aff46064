"""What an engine's own keys mean at load: in its templates, in their variables, in its budget; and notifiers' words."""

import json

import pytest

from bridge.comfy_template import ComfyTemplate
from bridge.config import load
from bridge.engines.agentifyme import AgentifyMeTemplate
from bridge.errors import ConfigError
from bridge.rules import Template
from tests.unit.test_config import BASE, ENVIRON, RULES

AGENT = """\
version: 1
engines:
  agent: {type: agentifyme, api_key: {env: AGENT_KEY}, endpoint: my-agent}
templates:
  summarize:
    engine: agent
    id: summarize-document
    mode: sync
    deadline: 2m
    variables:
      text: {required: true}
      words: {type: number, default: 100}
"""


@pytest.fixture
def read(tmp_path):
    """Load a text, with other files beside it."""

    def write_and_load(text, **others):
        for name, other in {"bridge": text, **others}.items():
            (tmp_path / f"{name}.yaml").write_text(other)
        return load(tmp_path / "bridge.yaml", {**ENVIRON, "AGENT_KEY": "k"})

    return write_and_load


@pytest.fixture
def refused(read, tmp_path):
    """Return the problems of a text as `line:column: message`."""

    def problems(text, **others):
        with pytest.raises(ConfigError) as caught:
            read(text, **others)
        return [str(problem).removeprefix(f"{tmp_path}/bridge.yaml:") for problem in caught.value.problems]

    return problems


def test_a_template_has_the_keys_of_its_engine(read, tmp_path):
    """And stands in whatever file and order it likes: its engine may come later."""
    config = read(AGENT)
    template = config.templates["summarize"]
    assert isinstance(template, AgentifyMeTemplate)
    assert (template.mode, template.variables["words"].type) == ("sync", "number")
    assert config.engines["agent"].bucket(template) == "sync"
    assert config.folder == tmp_path
    engine, templates = AGENT.split("templates:\n")
    split = "include: other.yaml\n" + engine
    assert read(split, other="templates:\n" + templates).templates == config.templates
    assert type(read(BASE).templates["e2e"]) is Template


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("mode: sync", "mode: synch", "8:11: template 'summarize': unknown value 'synch': did you mean 'sync'?"),
        ("id: summarize-document", 'id: ""', "7:9: template 'summarize': expected the engine's own id"),
        (
            "id: summarize-document",
            'id: " "',
            "7:9: template 'summarize': expected the engine's own id",
        ),
        ("mode: sync", "mod: sync", "8:5: template 'summarize': unknown key 'mod': did you mean 'mode'?"),
        ("type: number", "typ: number", "12:15: template 'summarize': unknown key 'typ': did you mean 'type'?"),
        (
            "default: 100",
            "default: many",
            "12:38: template 'summarize': variable 'words' is 'many', which is",
        ),
        (
            "deadline: 2m",
            "deadline: 1h",
            "8:11: template 'summarize': a synchronous run keeps a connection",
        ),
        ("my-agent}", "my-agent, budget: {at_once: 0}}", "3:94: engine 'agent': expected a whole number"),
        ("my-agent}", "my-agent, budget: {at_onse: 1}}", "3:85: engine 'agent': unknown key 'at_onse': did you mean"),
        ("endpoint: my-agent", "endpoint: 'a b '", "3:10: engine 'agent': the endpoint goes into a header"),
        ("engine: agent", "engine: agnt", "6:13: template 'summarize': unknown engine 'agnt': did you mean 'agent'?"),
    ],
)
def test_a_mistake_in_them_is_one_mistake_with_its_place(refused, old, new, problem):
    """An engine nobody knows does not make its keys wrong as well."""
    assert AGENT.count(old) == 1
    [found] = refused(AGENT.replace(old, new))
    assert found.startswith(problem), found


def test_the_keys_of_one_engine_are_not_those_of_another(refused):
    """A template of Genesis has no mode."""
    [found] = refused(BASE.replace("    deadline: 1h", "    mode: sync"))
    assert found.startswith("20:5: template 'e2e': unknown key 'mode'")
    assert "there are: deadline, engine, id, variables" in found


def test_a_rule_cannot_give_a_value_of_another_type(refused):
    """Where it is written out, it is found at load."""
    rule = '{name: r, source: relay, event: e, template: summarize, variables: {text: a, words: "many"}}'
    source = "{type: generic, auth: {type: bearer, secrets: [{env: RELAY_SECRET}]}}"
    [found] = refused(f"{AGENT}sources:\n  relay: {source}\nrules:\n  - {rule}\n")
    assert "variable 'words' is 'many', which is not a number" in found


def test_a_budget_may_be_changed_and_taken_away(read):
    """What is not said stays as documented; null is no limit."""
    text = AGENT.replace("my-agent}", "my-agent, budget: {fetches_per_minute: 60, sync_per_minute: null, at_once: 3}}")
    budget = read(text).engines["agent"].budget
    assert (budget.triggers_per_minute, budget.fetches_per_minute, budget.at_once) == (1000, 60, 3)
    assert budget.sync_per_minute is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("${{ outputs.summary }}", None),
        ("${{ rule }}: ${{ status }} ${{ outputs['a b'].url | default('') }}", None),
        ("${{ ouputs.summary }}", "unknown name 'ouputs': did you mean 'outputs'?"),
        ("${{ branch }}", "unknown name 'branch'"),
        ("${{ history }}", "unknown name 'history'"),
    ],
)
def test_a_notifiers_words_are_about_the_execution(read, refused, text, problem):
    """Its names are the execution's; those of events are not among them."""
    whole = BASE.replace("type: slack, token", f'type: slack, text: "{text}", token') + RULES
    if problem is None:
        assert read(whole).notifiers["qa"].text is not None
    else:
        [found] = refused(whole)
        assert found.startswith("24:27: notifier 'qa': ")
        assert problem in found


COMFY = """\
version: 1
engines:
  comfy: {type: comfy, api_key: {env: AGENT_KEY}}
templates:
  shot:
    engine: comfy
    id: flow.json
    outputs: {picture: "9"}
    variables:
      prompt: {input: "6.text", required: true}
      steps: {input: [3.steps], default: 20}
      seed: {input: 3.seed, seed: true, default: random}
"""
FLOW = {
    "3": {"class_type": "KSampler", "inputs": {"steps": 20, "seed": 7}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a cat"}},
    "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "shot"}},
}


@pytest.fixture
def flow(tmp_path):
    """Put a workflow beside the configuration."""
    path = tmp_path / "flow.json"
    path.write_text(json.dumps(FLOW))
    return path


def test_a_workflow_of_comfy_lies_beside_the_configuration(read, flow):
    """And is a part of it: the hash of the one is that of both."""
    config = read(COMFY)
    template = config.templates["shot"]
    assert isinstance(template, ComfyTemplate)
    assert template.outputs == {"picture": "9"}
    assert template.variables["steps"].input == ["3.steps"]
    assert config.engines["comfy"].budget.at_once == 1
    assert config.attached == (flow,)
    flow.write_text(json.dumps(FLOW, indent=1))
    assert read(COMFY).hash != config.hash
    flow.write_text(json.dumps(FLOW))
    assert read(COMFY).hash == config.hash


def test_a_workflow_that_two_templates_share_is_attached_once(read, flow):
    """It is one file, and one change."""
    assert read(f"{COMFY}  again: {{engine: comfy, id: flow.json}}\n").attached == (flow,)


def test_where_no_template_has_a_file_none_is_attached(read):
    """As it was before there were such engines."""
    assert read(AGENT).attached == ()


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("id: flow.json", "id: gone.json", "7:9: template 'shot': the workflow "),
        ("id: flow.json", 'id: "a\\0b.json"', "7:9: template 'shot': embedded null byte"),
        ('picture: "9"', 'picture: "8"', "8:24: template 'shot': unknown node '8': there are: 3 (KSampler), 6"),
        (
            '"6.text"',
            '"6.txt"',
            "10:23: template 'shot': node 6 (CLIPTextEncode): unknown input 'txt': did you mean 'text'",
        ),
        (
            "default: 20",
            "default: many",
            "11:42: template 'shot': variable 'steps' is 'many', which is not a whole number",
        ),
        ("required: true", "seeds: true", "10:33: template 'shot': unknown key 'seeds': did you mean 'seed'?"),
        ("default: random", "default: rnd", "12:50: template 'shot': variable 'seed' is 'rnd', which is neither"),
        ("type: comfy", "type: comfy, api: v3", "3:29: engine 'comfy': unknown value 'v3': there are: v1, v2"),
    ],
)
def test_a_mistake_about_a_workflow_has_its_place(refused, flow, old, new, problem):
    """In the YAML, where a person can mend it."""
    assert COMFY.count(old) == 1
    [found] = refused(COMFY.replace(old, new))
    assert found.startswith(problem), found


def test_what_a_refused_configuration_is_made_of_is_known(read, flow):
    """Also of a workflow that is not there: its appearing has to be noticed."""
    flow.unlink()
    with pytest.raises(ConfigError) as caught:
        read(COMFY)
    assert caught.value.attached == (flow,)
