"""GitHub as a sender of webhooks: a delivery's headers and body exactly as GitHub puts them on the wire."""

from urllib.parse import urlencode
from uuid import uuid4

from bridge.emulators.signing import github_signature


def deliver(  # noqa: PLR0913 - one keyword for each thing a hook's settings decide
    event: str,
    body: bytes,
    *,
    secret: str | None,
    guid: str | None = None,
    form: bool = False,
    hook_id: int = 1234567,
    target_type: str = "repository",
    target_id: int = 7654321,
) -> tuple[dict[str, str], bytes]:
    """Build a signed delivery.

    With `form` the JSON travels in the form field `payload`, the default for hooks made over the API. A delivery sent
    again keeps its `guid`. Without a secret GitHub leaves the signature headers out.
    """
    sent = urlencode({"payload": body}).encode() if form else body
    headers = {
        "User-Agent": "GitHub-Hookshot/044aadd",
        "Accept": "*/*",
        "Content-Type": "application/x-www-form-urlencoded" if form else "application/json",
        "X-GitHub-Event": event,
        "X-GitHub-Delivery": guid or str(uuid4()),
        "X-GitHub-Hook-ID": str(hook_id),
        "X-GitHub-Hook-Installation-Target-Type": target_type,
        "X-GitHub-Hook-Installation-Target-ID": str(target_id),
    }
    if secret is not None:
        headers["X-Hub-Signature"] = github_signature(sent, secret=secret, algorithm="sha1")
        headers["X-Hub-Signature-256"] = github_signature(sent, secret=secret, algorithm="sha256")
    return headers, sent
