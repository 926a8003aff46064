"""JSONPath as Jenkins and Tekton use it, into the path of a name; what may find several values is refused. Pure."""

import re

from bridge.importers.cel_tokens import Untranslatable

_STEP = re.compile(r"""\.?(?:([^\s.\[\]'"*?()@,:$]+)|\['([^']*)'\]|\["([^"]*)"\]|\[([0-9]{1,9})\])""")


def path(written: str, root: str = "body") -> tuple[str | int, ...]:
    """Read what follows the root, such as `.commits[0].id`; raises Untranslatable."""
    steps: list[str | int] = [root]
    at = 0
    while at < len(written):
        found = _STEP.match(written, at)
        if found is None:
            raise Untranslatable(f"{written[at:][:30]!r} in a JSONPath, which does not lead to one value")
        bare, single, double, index = found.groups()
        steps.append(int(index) if index is not None else bare or single or double or "")
        at = found.end()
    return tuple(steps)
