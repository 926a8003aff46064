"""What a notifier says in words of its own, made of the execution it tells of. Pure."""

from collections.abc import Iterator

from msgspec import Struct, field

from bridge.errors import EvaluationError
from bridge.expressions import Text
from bridge.model import Execution, said_of


class OwnWords(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings for it; their names are the execution's fields, as `said_of` gives them."""

    text: Text | None = None
    """What to say in words of its own; its names are the execution's fields."""
    fields: dict[str, Text] = field(default_factory=dict)
    """Short facts to show beside it, by their names; ${{ }} takes them from the execution."""

    def said(self, execution: Execution) -> str | None:
        """Return `text:` for an execution; None without one, or where the execution lacks what it names."""
        try:
            return None if self.text is None else self.text.render(said_of(execution))
        except EvaluationError:
            return None  # a run that failed has no outputs; that it failed is told all the same

    def said_fields(self, execution: Execution) -> dict[str, str]:
        """Return `fields:` for an execution, without those that it lacks something for."""
        return dict(self._rendered(execution)) if self.fields else {}

    def said_texts(self) -> dict[str, Text]:
        """Return both by their YAML path, to be checked at load."""
        found = {} if self.text is None else {"text": self.text}
        return found | {f"fields.{name}": text for name, text in self.fields.items()}

    def _rendered(self, execution: Execution) -> Iterator[tuple[str, str]]:
        names = said_of(execution)
        for name, text in self.fields.items():
            try:
                yield name, text.render(names)
            except EvaluationError:
                continue
