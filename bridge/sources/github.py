"""GitHub webhooks: verify, and read JSON and form deliveries into events.

https://docs.github.com/en/webhooks/webhook-events-and-payloads
"""

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from bridge.bodies import FORM, JSON, media_type, read_form, read_object
from bridge.contracts import Request, Source
from bridge.errors import Malformed, UnsupportedMedia
from bridge.github_facts import DOCUMENTS, ORIGINS, find
from bridge.model import Event
from bridge.signatures import PRESETS, Secrets, keys, verify, without_credentials

# Neither header is signed, so neither is taken as it comes.
_EVENT = re.compile(r"[a-z0-9_]{1,64}")
_GUID = re.compile(r"[!-~]{1,128}")


class GitHub(Source, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="github"):
    """A webhook of a repository, an organization or an app, with JSON or form content."""

    secrets: Secrets

    facts: ClassVar[Mapping[str, str]] = DOCUMENTS
    origins: ClassVar[Mapping[str, str]] = ORIGINS
    max_body_bytes: ClassVar[int] = 25_000_000
    """GitHub's own cap: what is larger it does not deliver at all."""

    def verify(self, request: Request) -> bool:
        """Say whether one of the secrets signed this.

        Only the SHA-256 signature counts, and it is over the raw bytes of a form, too. GitHub signs no time: a
        delivery's GUID, which a redelivery keeps, is what guards against repeats.
        https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
        """
        return verify(PRESETS["github"], request.headers, request.body, keys(self.secrets), request.now)

    def parse(self, request: Request) -> Event:
        """Read one delivery, of whatever event."""
        name = request.headers.get("x-github-event", "")
        if not _EVENT.fullmatch(name):
            raise Malformed("the header X-GitHub-Event is missing or names no event")
        key = request.headers.get("x-github-delivery")
        if key is not None and not _GUID.fullmatch(key):
            raise Malformed("the header X-GitHub-Delivery is not an id")
        body = _read_body(request)
        action = body.get("action")
        return Event(
            name=name,
            action=action if isinstance(action, str) and action else None,
            key=key,
            body=body,
            headers=without_credentials(request.headers),
            query=dict(request.query),
            facts=find(name, body),
            ignored="GitHub's ping says that the webhook is set up; it starts nothing" if name == "ping" else None,
        )


def _read_body(request: Request) -> dict[str, Any]:
    media = media_type(request.headers)
    if media == JSON:
        return read_object(request.body)
    if media == FORM:
        form = read_form(request.body)
        if "payload" not in form:
            raise Malformed("the form has no field 'payload', where GitHub puts the event")
        return read_object(form["payload"])
    raise UnsupportedMedia(f"a GitHub webhook sends {JSON} or {FORM}; set its content type to either")
