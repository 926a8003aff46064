"""URLs with `${{ }}` in them: what an event fills in fills one place and changes no other. Pure."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from jinja2 import nodes

from bridge.errors import EvaluationError
from bridge.expressions import Text

_STEPS = frozenset({".", ".."})


class Url(Text):
    """A text that is a URL.

    An expression that it begins with is taken as it is: then the event names the receiver. Any other is
    percent-encoded as one segment of the path or one value of the query, however much of a URL it looks like.
    """

    def _tree(self) -> nodes.Template:
        tree = super()._tree()
        for output in tree.find_all(nodes.Output):
            for place, part in enumerate(output.nodes):
                if place and not isinstance(part, nodes.TemplateData):
                    output.nodes[place] = nodes.Filter(part, "urlencode", [], [], None, None)
        return tree

    def render(self, names: Mapping[str, Any]) -> str:
        """Return the URL for this event; raises as Text does, and EvaluationError for a path that leads elsewhere."""
        url = super().render(names)
        filled_in = not self.literal and not self.source.startswith("${{")
        if filled_in and not _STEPS.isdisjoint(_segments(url)) and _STEPS.isdisjoint(_segments(self.source)):
            raise EvaluationError(
                "a value fills a whole segment of the URL with `.` or `..`, which would lead elsewhere"
            )
        return url


def _segments(url: str) -> list[str]:
    try:
        path = urlsplit(url).path
    except ValueError:
        return []  # what is no URL is refused by whoever uses it
    return path.lower().replace("%2e", ".").replace("\\", "/").split("/")
