"""The emulated engines that `demo` and `emulate` can run; each has a sample configuration beside demo.yaml."""

from collections.abc import Callable

from msgspec import Struct

from bridge.emulators.agentifyme import AgentifyMe, Workflow
from bridge.emulators.comfy import Comfy
from bridge.emulators.comfy_jobs import Behaviour
from bridge.emulators.genesis import Genesis
from bridge.emulators.genesis_runs import Template
from bridge.emulators.serving import App

Timeline = tuple[tuple[str, float | None], ...]
"""Statuses on the emulated engine, each with its seconds; the last stays."""
_OUTPUTS = {"summary": "42 tests passed, 0 failed"}


class Emulated(Struct, frozen=True):
    """An engine's emulator: its name for people, and how to make one.

    With a key it knows no other, and with a timeline every run goes that way; without them, as by itself.
    """

    title: str
    build: Callable[[str | None, Timeline | None], App]


def _genesis(key: str | None, timeline: Timeline | None) -> App:
    default = Template() if timeline is None else Template(timeline=timeline, outputs=_OUTPUTS)
    return Genesis(keys=None if key is None else {key: None}, any_template=True, default=default)


def _agentifyme(key: str | None, timeline: Timeline | None) -> App:
    default = Workflow() if timeline is None else Workflow(timeline=timeline, result=_OUTPUTS)
    return AgentifyMe(keys=None if key is None else (key,), any_workflow=True, default=default)


def _comfy(key: str | None, timeline: Timeline | None) -> App:
    keys = None if key is None else (key,)
    return Comfy(keys=keys, behaviour=Behaviour() if timeline is None else Behaviour(timeline=timeline))


EMULATORS = {
    "genesis": Emulated("Genesis", _genesis),
    "agentifyme": Emulated("AgentifyMe", _agentifyme),
    "comfy": Emulated("Comfy Cloud", _comfy),
}
