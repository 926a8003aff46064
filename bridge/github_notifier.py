"""What the three GitHub notifiers have in common: of which repository and commit they tell, and which statuses."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from msgspec import Meta

from bridge.addresses import base_url
from bridge.contracts import Notifier
from bridge.errors import EvaluationError, Permanent
from bridge.expressions import Text
from bridge.github_api import GITHUB_API, is_repository, repository_path
from bridge.model import FINAL, Status

_SHA = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")
_TOLD = frozenset({Status.QUEUED, Status.PENDING, Status.REVIEW_PENDING}) | FINAL
"""An engine that takes an order makes it `pending` first, so that is the message that it has begun."""
NUMBER = re.compile("[1-9][0-9]{0,17}")
ShortName = Annotated[str, Meta(max_length=100, description="a name of at most 100 characters")]


class Report(Notifier, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the three have in common."""

    in_order: ClassVar[bool] = True
    sources: ClassVar[frozenset[str] | None] = frozenset({"github"})
    place: ClassVar[str]
    """The setting, beside `repo`, that says what of a repository it is about."""

    repo: Text | None = None
    """The repository as owner/name; by default the event's."""
    on_status: list[Status] | None = None
    """The statuses that are told; by default queued, pending, review_pending and every final one."""
    api_url: str = GITHUB_API
    """GitHub Enterprise Server: https://HOST/api/v3."""

    def __post_init__(self) -> None:
        """Refuse an API URL that paths cannot be appended to, and a list of statuses that leaves GitHub waiting."""
        base_url(self.api_url)
        told = set(_TOLD if self.on_status is None else self.on_status)
        if (self.living or told - FINAL) and not told >= FINAL:
            left = ", ".join(status for status in Status if status in FINAL - told)
            raise ValueError(f"what is told to be under way has to be told to have ended: add {left} to `on_status`")

    @property
    def answers(self) -> frozenset[str] | None:
        """Any source's events, where both settings say what they are about."""
        return self.sources if self.repo is None or getattr(self, self.place) is None else None

    def texts(self) -> dict[str, Text]:
        """Return what says where."""
        written = {name: getattr(self, name) for name in ("repo", self.place)}
        return {name: text for name, text in written.items() if text is not None}

    def wants(self, status: Status) -> bool:
        """Tell what is under way and every end, unless the configuration lists something else."""
        return status in (_TOLD if self.on_status is None else self.on_status)

    def lane(self, address: Mapping[str, str]) -> str:
        """Keep to one request that changes something a second, as GitHub asks, in each repository.

        https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api#pause-between-mutative-requests
        """
        return f"github {base_url(self.api_url)} {address['repo'].lower()}"

    def repository(self, names: Mapping[str, Any]) -> str:
        """Resolve the repository; EvaluationError when there is none."""
        found = str(names.get("repo", "")) if self.repo is None else self.repo.render(names)
        if not found:
            raise EvaluationError("the event is about no repository; `repo:` can name one")
        if not is_repository(found):
            raise EvaluationError(f"{found[:80]!r} is not a repository's owner/name")
        return found

    def url(self, address: Mapping[str, str]) -> str:
        """Return where the API has the repository; Permanent when the address names none."""
        return f"{base_url(self.api_url)}/{repository_path(address['repo'])}"


class OnCommit(Report, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is said of a commit."""

    place: ClassVar[str] = "sha"

    sha: Text | None = None
    """The commit's whole id; by default the event's."""

    def address(self, names: Mapping[str, Any]) -> dict[str, str]:
        """Resolve the repository and the commit."""
        sha = str(names.get("sha", "")) if self.sha is None else self.sha.render(names)
        if not sha:
            raise EvaluationError(
                "the event names no commit (a comment's is known with a token of the source); `sha:` can name one"
            )
        if not _SHA.fullmatch(sha):
            raise EvaluationError(f"{sha[:80]!r} is not a commit's whole id (40 or 64 hexadecimal digits)")
        return {"repo": self.repository(names), "sha": sha}


def id_in(answer: Mapping[str, Any]) -> int:
    """Return the id in an answer of GitHub's; Permanent when there is none."""
    found = answer.get("id")
    if not isinstance(found, int):
        raise Permanent("GitHub: its answer holds no id")
    return found
