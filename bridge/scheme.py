"""How senders sign, as data: a scheme is a row, and the known ones are the table. Pure."""

import re
from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from bridge.credentials import is_credential

KeyFormat = Literal["utf8", "base64", "whsec"]
Algorithm = Literal["sha1", "sha256", "sha512"]
Encoding = Literal["hex", "base64"]

PLACEHOLDER = re.compile(r"\{([^{}]*)\}")

_PATTERN = (
    "`pattern` is one {signature} with the text around it, such as 'sha256={signature}'; with a {timestamp} beside it "
    "`separator` says what divides them: 't={timestamp},v1={signature}' and ','"
)


class Scheme(Struct, frozen=True, kw_only=True):
    """How one kind of sender signs. Names of headers are in lower case."""

    header: str
    """Where a request carries its signatures."""
    pattern: str = "{signature}"
    """How one signature is written there: {signature} with the text around it, and {timestamp} where it stands there.

    Of several items, divided by `separator`, those that look like none of the pattern's are other versions' and
    passed over.
    """
    separator: str = ""
    """What divides the items; empty: the whole header is one."""
    algorithm: Algorithm = "sha256"
    encoding: Encoding = "hex"
    signed: str = "{body}"
    """The text that is signed; {body}, {timestamp} and {id} stand for the request's own, byte for byte."""
    timestamp: str | None = None
    """The header of the signed time, in Unix seconds, where it is not in `pattern`."""
    tolerance_seconds: float = 300
    """How far from now the signed time may be, to either side."""
    id: str | None = None
    """The header of the message's id, by which repeats are known; signed only if `signed` says so."""
    event: str | None = None
    """The header that names the event; never signed."""
    key_format: KeyFormat = "utf8"
    token: str | None = None
    """The header in which a sender shows a secret that is not of `key_format`, instead of signing with it."""

    @property
    def timed(self) -> bool:
        """Whether requests carry a time that is checked."""
        return self.timestamp is not None or "{timestamp}" in self.pattern

    def problem(self) -> str | None:
        """Say why a scheme that somebody described cannot work or would prove too little; None: it works."""
        items = [PLACEHOLDER.findall(item) for item in items_of(self.pattern, self.separator)]
        if sorted(items) not in ([["signature"]], [["signature"], ["timestamp"]]):
            return _PATTERN
        named, timed = set(PLACEHOLDER.findall(self.signed)), ["timestamp"] in items
        found = {
            "`signed` holds {body}, or anybody could change it, and beside it {timestamp} and {id} only": (
                "body" not in named or not named <= {"body", "timestamp", "id"}
            ),
            "the time stands in the header `timestamp` or in `pattern`, not in both": (
                timed and self.timestamp is not None
            ),
            "a time is named and signed, or neither: `timestamp` (or {timestamp} in `pattern`), and it in `signed`": (
                self.timed != ("timestamp" in named)
            ),
            "{id} is signed, so `id` has to name its header": "id" in named and self.id is None,
        }
        return next((message for message, wrong in found.items() if wrong), None)


PRESETS: Mapping[str, Scheme] = {
    # https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
    "github": Scheme(
        header="x-hub-signature-256", pattern="sha256={signature}", id="x-github-delivery", event="x-github-event"
    ),
    # https://docs.slack.dev/authentication/verifying-requests-from-slack
    "slack": Scheme(
        header="x-slack-signature",
        pattern="v0={signature}",
        signed="v0:{timestamp}:{body}",
        timestamp="x-slack-request-timestamp",
    ),
    # https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    "standard-webhooks": Scheme(
        header="webhook-signature",
        pattern="v1,{signature}",
        separator=" ",
        encoding="base64",
        signed="{id}.{timestamp}.{body}",
        timestamp="webhook-timestamp",
        id="webhook-id",
        key_format="whsec",
    ),
    # https://docs.svix.com/receiving/verifying-payloads/how-manual
    "svix": Scheme(
        header="svix-signature",
        pattern="v1,{signature}",
        separator=" ",
        encoding="base64",
        signed="{id}.{timestamp}.{body}",
        timestamp="svix-timestamp",
        id="svix-id",
        key_format="whsec",
    ),
    # https://docs.gitea.com/usage/webhooks; Forgejo sends these headers, too
    "gitea": Scheme(header="x-gitea-signature", id="x-gitea-delivery", event="x-gitea-event"),
    # https://docs.stripe.com/webhooks#verify-manually; the key is the whole secret, `whsec_` included
    "stripe": Scheme(
        header="stripe-signature",
        pattern="t={timestamp},v1={signature}",
        separator=",",
        signed="{timestamp}.{body}",
    ),
    # https://shopify.dev/docs/apps/build/webhooks/subscribe/https
    "shopify": Scheme(
        header="x-shopify-hmac-sha256", encoding="base64", id="x-shopify-webhook-id", event="x-shopify-topic"
    ),
    # https://docs.gitlab.com/user/project/integrations/webhooks/: signing tokens are `whsec_...`, secret tokens are not
    "gitlab": Scheme(
        header="webhook-signature",
        pattern="v1,{signature}",
        separator=" ",
        encoding="base64",
        signed="{id}.{timestamp}.{body}",
        timestamp="webhook-timestamp",
        id="webhook-id",
        event="x-gitlab-event",
        key_format="whsec",
        token="x-gitlab-token",  # noqa: S106 - the header's name
    ),
}

_CREDENTIALS = frozenset(
    {"authorization", "proxy-authorization", "cookie", "x-api-key", "x-hub-signature"}
    # Forgejo sends each of its signatures under four names.
    | {"x-forgejo-signature", "x-gogs-signature"}
    | {scheme.header for scheme in PRESETS.values()}
    | {scheme.token for scheme in PRESETS.values()}
)


def items_of(text: str, separator: str) -> list[str]:
    """Return what a separator divides; without one the text is a single item."""
    return text.split(separator) if separator else [text]


def without_credentials(headers: Mapping[str, str], *more: str) -> dict[str, str]:
    """Return the headers or parameters that rules may see and records may keep: no credential, nor any of `more`."""
    left_out = _CREDENTIALS.union(more)
    return {name: value for name, value in headers.items() if name not in left_out and not is_credential(name)}
