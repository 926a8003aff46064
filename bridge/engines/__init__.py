"""The engines there are. A new one is one file and one name in `AnyEngine`, and nothing else changes."""

from typing import get_args

from bridge.contracts import Engine
from bridge.engines.agentifyme import AgentifyMe
from bridge.engines.comfy import Comfy
from bridge.engines.genesis import Genesis

AnyEngine = Genesis | AgentifyMe | Comfy

ENGINES: tuple[type[Engine], ...] = get_args(AnyEngine)
