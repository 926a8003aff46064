"""What passes between us and an engine about runs: how often they are looked at, what is ordered, what became of it."""

from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, Struct

from bridge.duration import Duration
from bridge.model import Link, Progress, Status

MAX_OUTPUTS = 50
"""Of a run with more of them the first are kept."""


class Poll(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often an execution is looked at: from `first` it slows down as it ages, up to `max`."""

    first: Duration = Duration(seconds=1)
    """How soon a run is looked at after its start."""
    max: Duration = Duration(seconds=15)
    """How rarely an old one is looked at, at most."""


AtLeastOne = Annotated[int, Meta(ge=1)]


class Budget(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one key may do, counted over all workers; null: no limit that we know of.

    A field `x_per_minute` is the bucket `x`; an engine may have more of them.
    """

    triggers_per_minute: AtLeastOne | None = None
    """Runs started; null is no limit that we know of."""
    fetches_per_minute: AtLeastOne | None = None
    """Looks at runs; with more runs than can be looked at, each is looked at more rarely."""
    at_once: AtLeastOne | None = None
    """Runs that have begun and not ended."""


class Order(Struct, frozen=True, kw_only=True):
    """One trigger request: what to start, with what."""

    template_id: str
    """The engine's own id of the workflow, as the template's `id:` has it."""
    variables: dict[str, str]
    execution_id: str
    options: dict[str, Any] = {}
    """What the template says beyond `Template`'s own keys, as JSON has it: this engine's `mode: sync`."""
    variable_options: dict[str, dict[str, Any]] = {}
    """What its variables say beyond `Variable`'s own keys: `{"prompt": {"input": "6.text"}}`."""
    folder: Path = Path()
    """Where the configuration lies: what a template's `id:` may be relative to."""
    deadline_seconds: float = 3600
    """How long the run may take."""
    key: str = ""
    """What tells this run from every other, also where it is sent again because nobody knows of the first."""
    prepared: dict[str, Any] = {}
    """What `Engine.prepare` made of variables, by name."""


class Started(Struct, frozen=True, kw_only=True):
    """The engine took the order."""

    remote_id: str | None
    """The engine's own id of the run; None only where it has ended already."""
    url: str | None = None
    """Where a person can look at the run."""
    ended: "Snapshot | None" = None
    """What became of it, where the engine answers only when it is over."""
    progress: Progress | None = None
    """How much there is to do, where that is known beforehand."""
    reason: str | None = None
    """What a person should know, though it has begun."""


class File(Struct, frozen=True, kw_only=True):
    """An output that the engine keeps, and shows only to its key or for a while: people get a link of ours to it."""

    reference: str
    """What `Engine.locate` needs to find it again; never shown."""
    type: str | None = None
    """Its media type, where it is known."""
    size: int | None = None
    """In bytes, where it is known."""


class Snapshot(Struct, frozen=True, kw_only=True):
    """The engine's word on a run, in our words."""

    status: Status
    """pending, running, review_pending, completed, failed, cancelled or skipped; never one of ours."""
    progress: Progress | None = None
    done: int | None = None
    """Instead of `progress`, where only the start knew how much there is to do."""
    outputs: dict[str, str | Link | File] = {}
    """By name: text, a link that is good for everybody and for good, or a file of the engine's."""
    reason: str | None = None


Complaint = tuple[tuple[str, ...], str]
"""The keys that lead to a place in a template, and what is wrong there."""
