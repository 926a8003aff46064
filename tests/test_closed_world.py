"""What exists is tested, documented and in its layer; what is documented exists."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import get_args, get_type_hints

import msgspec
import pytest
from msgspec import structs

from bridge import page
from bridge.at_a_time import AtATime
from bridge.authentication import Basic, Bearer, Header, Hmac, Nothing
from bridge.cases import Case, merged
from bridge.cli import main
from bridge.config import load
from bridge.contracts import Engine
from bridge.convert import import_
from bridge.demo_engines import EMULATORS
from bridge.engines import ENGINES
from bridge.importers import FORMATS
from bridge.metrics import REGISTRY
from bridge.model import Status
from bridge.notifiers import NOTIFIERS
from bridge.page.session import entered
from bridge.permission import Allow
from bridge.rule_tests import run
from bridge.rules import Rule, Template, Variable
from bridge.runs import Budget
from bridge.schema import schema
from bridge.scheme import PRESETS
from bridge.settings import Settings
from bridge.smallest import github
from bridge.sources import AnySource

ROOT = Path(__file__).parents[1]
DOCS = {path: path.read_text() for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]}
ALL_DOCS = "\n".join(DOCS.values())
TESTS = "\n".join(path.read_text() for path in sorted((ROOT / "tests").rglob("*.py")))
CONFIGS = sorted([*(ROOT / "config").glob("*.yaml"), *(ROOT / "config" / "examples").glob("*.yaml")])
YAML = [
    pytest.param(text, id=f"{path.name}-{number}")
    for path, whole in DOCS.items()
    for number, text in enumerate(re.findall(r"^```yaml\n(.*?)^```", whole, flags=re.MULTILINE | re.DOTALL))
    if text.startswith("version: 1")
]


def modules() -> set[str]:
    return {path.stem for path in (ROOT / "bridge").glob("*.py")} - {"__init__"}


def test_the_layers_hold() -> None:
    """Imports go downwards only (pyproject.toml, tool.importlinter)."""
    command = [Path(sys.executable).parent / "lint-imports", "--no-cache"]
    checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_module_has_its_layer() -> None:
    """A new module is put into a layer, or this fails."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    layers = project["tool"]["importlinter"]["contracts"][0]["layers"]
    placed = {name.strip().removeprefix("bridge.") for layer in layers for name in layer.split("|")}
    assert placed == modules() | {"sources", "engines", "notifiers", "importers", "page"}


@pytest.mark.parametrize("name", sorted(modules()))
def test_every_module_is_tested(name: str) -> None:
    """Some test imports it, or reaches it through the one module that uses it."""
    through_others = {
        "cli",
        "demo",
        "demo_view",
        "app",
        "api",
        "problems",
        "config_check",
        "config_warnings",
        "listing",
        "operator_api",
        "operate",
        "rehearse",
        "sending",
        "explain_api",
        "scripting",
        "github_values",
        "paths",
        "convert",
        "hardening",
        "answers",
        "comfy_uploads",
        "own_words",
        "polling",
        "slack_api",
        "slack_message",
        "steps",
    }
    assert name in through_others or re.search(rf"bridge\.{name}\b|from bridge import .*\b{name}\b", TESTS), name


def test_every_page_needs_a_session() -> None:
    """All but the login itself and what it looks like."""
    handlers = [(route.path, one) for route in page.ROUTER.routes for one in route.route_handlers]
    asked = [(path, one.guards) for path, one in handlers if one.http_methods != {"OPTIONS"}]
    assert {path for path, guards in asked if not guards} == {"/login", "/page.css", "/icon.svg"}
    assert all(guards in (None, [entered]) for _, guards in asked)
    assert len(asked) > 10


@pytest.mark.parametrize("name", sorted(main.commands))
def test_every_command_is_documented_and_tested(name: str) -> None:
    """The command's name stands in the docs and in a test."""
    assert re.search(rf"genesis-bridge {name}\b", ALL_DOCS), name
    assert f'"{name}"' in TESTS


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_that_is_imported_has_its_command_and_its_example(kind: str) -> None:
    """`genesis-bridge import <format>`, shown in docs/import.md (which tests/unit/test_import.py runs)."""
    assert kind in import_.commands
    assert f"`genesis-bridge import {kind} " in DOCS[ROOT / "docs" / "import.md"]


@pytest.mark.parametrize("name", Settings.__struct_fields__)
def test_every_setting_is_documented_and_tested(name: str) -> None:
    """As the environment variable it is."""
    variable = f"BRIDGE_{name.upper()}"
    assert variable in ALL_DOCS
    assert variable in TESTS


@pytest.mark.parametrize("kind", [*ENGINES, *NOTIFIERS, *AnySource.__args__], ids=lambda kind: kind.__name__)
def test_every_key_of_every_adapter_is_documented_and_tested(kind: type) -> None:
    """Every YAML key of sources, engines and notifiers."""
    assert f"`{kind.__struct_config__.tag}`" in ALL_DOCS
    for field in kind.__struct_fields__:
        assert re.search(rf"\b{field}\b", ALL_DOCS), field
        assert re.search(rf"\b{field}\b", TESTS), field


@pytest.mark.parametrize("kind", [Hmac, Bearer, Basic, Header, Nothing], ids=lambda kind: kind.__name__)
def test_every_key_of_every_authentication_is_documented_and_tested(kind: type) -> None:
    """Every YAML key of `auth:`, and its types."""
    assert f"`{kind.__struct_config__.tag}`" in ALL_DOCS  # type: ignore[attr-defined]
    for field in kind.__struct_fields__:  # type: ignore[attr-defined]
        assert f"`{field}`" in ALL_DOCS, field
        assert re.search(rf"\b{field}\b", TESTS), field


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_documented_and_tested(preset: str) -> None:
    """In the table of docs/sources.md, and by name in a test."""
    assert f"`{preset}`" in DOCS[ROOT / "docs" / "sources.md"]
    assert f'preset("{preset}"' in TESTS


RULE_KINDS = [
    Rule,
    Allow,
    Case,
    AtATime,
    *dict.fromkeys([Template, *(engine.template for engine in ENGINES)]),
    *dict.fromkeys([Variable, *(get_args(get_type_hints(engine.template)["variables"])[1] for engine in ENGINES)]),
]


@pytest.mark.parametrize("kind", RULE_KINDS, ids=lambda kind: kind.__name__)
def test_every_key_of_a_rule_is_documented_and_tested(kind: type) -> None:
    """Every YAML key of rules, templates and variables (those of one engine's included), and tests."""
    for field in kind.__struct_encode_fields__:
        assert f"`{field}" in ALL_DOCS, field
        assert re.search(rf"\b{field}\b", TESTS), field


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.__name__)
def test_every_engine_has_an_emulator_an_example_and_a_section(engine: type[Engine]) -> None:
    """Its name is enough to run it without an account, to copy a configuration, and to look up its limits."""
    tag = str(engine.__struct_config__.tag)
    assert tag in EMULATORS
    assert (ROOT / "bridge" / "samples" / f"engine-{tag}.yaml").exists()
    assert any(f"type: {tag}" in path.read_text() for path in CONFIGS)
    assert f"`{tag}`" in "".join(re.findall(r"^## .*", DOCS[ROOT / "docs" / "engines.md"], flags=re.MULTILINE))
    for field in _default_budget(engine).__struct_fields__:
        assert f"`{field}" in ALL_DOCS, field
        assert re.search(rf"\b{field}\b", TESTS), field


def _default_budget(engine: type[Engine]) -> Budget:
    defaults = {field.name: field.default for field in structs.fields(engine)}
    budget = defaults["budget"]
    assert isinstance(budget, Budget)
    return budget


@pytest.mark.parametrize("status", Status)
def test_every_status_is_documented_and_tested(status: Status) -> None:
    """In words for people, and by name in a test."""
    assert f"`{status}`" in ALL_DOCS
    assert f'"{status}"' in TESTS or f"Status.{status.name}" in TESTS


@pytest.mark.parametrize("name", sorted(metric.name for metric in REGISTRY.collect()))
def test_every_metric_is_documented_and_tested(name: str) -> None:
    """By the name under which it is read."""
    assert f"`{name}" in ALL_DOCS
    assert name in TESTS


@pytest.mark.parametrize("kind", AnySource.__args__, ids=lambda kind: kind.__name__)
def test_the_table_of_facts_is_the_codes_own(kind: type) -> None:
    """Row by row in docs/rules.md: every fact, what it is and where it is taken from, and none that is no more."""
    facts, origins = kind.facts, kind.origins  # type: ignore[attr-defined]
    assert facts.keys() == origins.keys()
    rows = [f"| `{name}` | {meaning} | {origins[name]} |" for name, meaning in facts.items()]
    head = "| fact | is | from |\n|---|---|---|\n"
    tables = [table.partition("\n\n")[0].splitlines() for table in ALL_DOCS.split(head)[1:]]
    assert not rows or rows in tables


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_shipped_configuration_loads(path: Path) -> None:
    """config/bridge.yaml and every example, without secrets, and the tests beside their rules hold."""
    config = load(path, None)
    assert config.ruleset.rules
    assert run(config).problems == []
    assert config.warnings == ()


@pytest.mark.parametrize("text", YAML)
def test_every_whole_configuration_in_the_docs_loads(text: str, tmp_path: Path) -> None:
    """What a reader copies works, and is not warned of."""
    path = tmp_path / "bridge.yaml"
    path.write_text(text)
    config = load(path, None)
    assert config.ruleset.rules
    assert run(config).problems == []
    assert [
        one for one in config.warnings if "no rule takes its events" not in one.message
    ] == []  # a page about sources


@pytest.mark.parametrize(("name", "state"), [("README.md", "success"), ("docs/rules.md", "failure")])
def test_every_explanation_in_the_docs_is_what_is_printed(name: str, state: str, tmp_path: Path) -> None:
    """Of the whole configuration after it, or else before it; what is left out is marked by dots."""
    before, _, shown = (ROOT / name).read_text().partition("$ genesis-bridge explain github deployed.json\n")
    whole = re.compile(r"^```yaml\n(version: 1\n.*?)^```", re.MULTILINE | re.DOTALL)
    text = (whole.findall(shown) or whole.findall(before)[::-1])[0]
    (tmp_path / "bridge.yaml").write_text(text)
    different = {"deployment_status": {"state": state, "environment": "Production"}, "deployment": {"ref": "dev"}}
    (tmp_path / "deployed.json").write_bytes(msgspec.json.encode(merged(github("deployment_status"), different)))
    command = [Path(sys.executable).parent / "genesis-bridge", "explain", "github", "deployed.json"]
    environ = {"PATH": os.environ["PATH"], "BRIDGE_CONFIG": "bridge.yaml"}
    told = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=True).stdout
    assert shown.partition("```")[0].removeprefix("...\n") in told


def test_every_configuration_satisfies_the_schema(tmp_path: Path) -> None:
    """What editors are told agrees with what is loaded: every example, what those include, every one in the docs."""
    written = []
    for number, param in enumerate(YAML):
        written.append(tmp_path / f"{number}.yaml")
        written[-1].write_text(str(param.values[0]))
    files = [*CONFIGS, *(ROOT / "config" / "rules").glob("*.yaml"), *written]
    command = [Path(sys.executable).parent / "check-jsonschema", "--schemafile", "config/bridge.schema.json", *files]
    checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_committed_schema_is_fresh() -> None:
    """config/bridge.schema.json is what `genesis-bridge schema` prints."""
    committed = msgspec.json.decode((ROOT / "config" / "bridge.schema.json").read_bytes())
    assert committed == msgspec.json.decode(msgspec.json.encode(schema()))


@pytest.mark.parametrize("path", sorted((ROOT / "bridge").rglob("*.py")), ids=lambda path: path.stem)
def test_modules_stay_small(path: Path) -> None:
    """Nobody has to scroll for the whole of an idea: 350 lines at most."""
    assert path.read_text().count("\n") <= 350


def test_every_link_in_the_docs_leads_somewhere() -> None:
    """Relative links only; others are the web's business."""
    for path, text in DOCS.items():
        for link in re.findall(r"\]\(([^)#]+)", text):
            assert link.startswith("http") or (path.parent / link).exists(), f"{path.name}: {link}"
