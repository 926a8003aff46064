"""What recording the explanation costs an accept, and what rules for other events cost a decision."""

import gc
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

import msgspec
from msgspec import structs

from bridge.access import Access
from bridge.app import build
from bridge.config import Config, load
from bridge.decision import decide
from bridge.emulators import github
from bridge.expressions import Condition, ConditionResult
from bridge.model import Event
from bridge.outbound import Outbound
from bridge.parts import Bridge
from bridge.rules import RuleSet
from bridge.smallest import github as smallest
from bridge.store import Store

SECRET = "a-secret-of-16-bytes"
HEAD = """version: 1
sources:
  github: {type: github, secrets: [{env: SECRET}]}
engines:
  genesis: {type: genesis, api_key: {env: SECRET}}
templates:
  e2e:
    engine: genesis
    id: 7b1f0c9e-3a5d-4c1e-9f00-2b6a7d1e8c44
    variables: {url: {required: true, pattern: 'https://.*'}, branch: {default: main}}
rules:
"""
RULE = """  - name: e2e-{n}
    source: github
    event: {event}
    when:
      - state == 'success'
      - environment is like '{environment}*'
      - branch.startswith('team-{n}/') or sender in ['octocat', 'release-bot-{n}']
    template: e2e
    variables: {{url: "${{{{ url }}}}/{n}", branch: "${{{{ branch }}}}"}}
"""
TESTS = """    tests:
      - event: {{environment: '{environment}7', branch: team-{n}/login}}
        runs: {{url: "https://production.example.com/{n}", branch: team-{n}/login}}
      - event: {{state: failure}}
        skips: "state == 'success'"
      - name: another environment
        event: {{environment: staging, branch: team-{n}/x}}
        skips: "environment is like '{environment}*'"
"""


def with_tests(directory: Path, count: int) -> Path:
    """Write a configuration of rules with three tests each, no condition of which stands twice but one."""
    path = directory / f"tests-{count}.yaml"
    rules = ((RULE + TESTS).format(n=n, event="deployment_status", environment=f"Preview-{n}-") for n in range(count))
    path.write_text(HEAD + "".join(rules))
    return path


def of_events(directory: Path, count: int, events: int) -> Config:
    """Return a configuration of so many rules, spread over so many events."""
    path = directory / f"events-{count}-{events}.yaml"
    names = ["deployment_status", *(f"event_{n}" for n in range(1, events))]
    rules = (RULE.format(n=n, event=names[n % events], environment="production") for n in range(count))
    path.write_text(HEAD + "".join(rules))
    return load(path, {"SECRET": SECRET})


def decisions(config: Config, event: Event, times: int) -> float:
    """Return seconds per decision."""
    began = time.perf_counter()
    for _ in range(times):
        decide(config, event, "d_1")
    return (time.perf_counter() - began) / times


def per_event(directory: Path, repeats: int) -> tuple[float, float]:
    """Return seconds per decision with 10 rules for the one event, and with 1,000 for 50 events, in turns."""
    event = Event(name="deployment_status", source="github", facts={"state": "success", "environment": "staging"})
    few, many = of_events(directory, 10, 1), of_events(directory, 1000, 50)
    gc.collect()
    gc.freeze()  # as the service does when it has started
    try:
        times = [(decisions(few, event, 50), decisions(many, event, 50)) for _ in range(repeats + 1)][1:]
    finally:
        gc.unfreeze()
    return statistics.median(one for one, _ in times), statistics.median(other for _, other in times)


def checked(path: Path) -> float:
    """Return the seconds `genesis-bridge check` takes for a configuration that must be good, its start included."""
    began = time.perf_counter()
    command = [Path(sys.executable).parent / "genesis-bridge", "check", "--no-secrets", path]
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def without_tests(path: Path) -> Path:
    """Write the same configuration without its tests."""
    bare_path = path.with_name(f"bare-{path.name}")
    text = re.sub(r"^    tests:\n(?:      .*\n)*", "", path.read_text(), flags=re.MULTILINE)
    bare_path.write_text(text)
    return bare_path


class Bare(Condition):
    """A condition that is decided and not recorded: neither the values of its names nor a reason."""

    def evaluate(self, names):  # type: ignore[no-untyped-def]
        """Say true or false; the bench's event has every name."""
        return ConditionResult(self.source, "true" if self._value(names) is True else "false", {}, None)


def bare(config: Config) -> Config:
    """Return the configuration with conditions that keep nothing of what they saw."""
    rules = [
        structs.replace(rule, when=[Bare(condition.source) for condition in rule.when]) for rule in config.ruleset.rules
    ]
    return structs.replace(config, ruleset=RuleSet(rules, config.ruleset.templates))


class Forgetful(Store):
    """A store that keeps no rule's result."""

    async def accept(self, delivery_id, delivery, *more):  # type: ignore[no-untyped-def]
        """Store all the rest."""
        return await super().accept(delivery_id, structs.replace(delivery, rules=[]), *more)


async def accepting(directory: Path, redis_url: str, rules: int, repeats: int) -> tuple[float, float]:
    """Return seconds per accept with and without the explanation, in turns: the whole route, without its socket."""
    config, body = of_events(directory, rules, 1), msgspec.json.encode(smallest("deployment_status"))
    stores = Store(redis_url), Forgetful(redis_url)
    bridges = [
        Bridge(config=decided, store=store, outbound=Outbound(), public_url="http://x")
        for decided, store in zip((config, bare(config)), stores, strict=True)
    ]
    apps = [build(bridge, Access()) for bridge in bridges]
    times = [[await _posted(app, body) for app in apps] for _ in range(repeats + 20)]
    # The machine's other work only ever adds: the fastest quarter is the accept's own.
    recorded, plain = (statistics.quantiles(column)[0] for column in zip(*times[20:], strict=True))
    for bridge, store in zip(bridges, stores, strict=True):
        await store.close()
        await bridge.outbound.aclose()
    return recorded, plain


async def _posted(app, body: bytes) -> float:  # type: ignore[no-untyped-def]
    sent, content = github.deliver("deployment_status", body, secret=SECRET)
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/hooks/github",
        "raw_path": b"/hooks/github",
        "query_string": b"",
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in sent.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
        "state": {},
    }
    answered = []

    async def receive():  # type: ignore[no-untyped-def]
        return {"type": "http.request", "body": content, "more_body": False}

    async def send(message) -> None:  # type: ignore[no-untyped-def]
        answered.append(message.get("status"))

    began = time.perf_counter()
    await app(scope, receive, send)
    took = time.perf_counter() - began
    assert answered[0] == 202, answered
    return took
