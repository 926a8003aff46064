"""The engines there are. A new one is one file and one name in `AnyEngine`, and nothing else changes.

`AnyEngine` is a union of one: `typing.get_args` of it is empty, so whoever needs the list takes `ENGINES`.
"""

from bridge.contracts import Engine
from bridge.engines.genesis import Genesis

AnyEngine = Genesis

ENGINES: tuple[type[Engine], ...] = (Genesis,)
