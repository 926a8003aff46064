"""Signatures as the senders make them, in the standard library only: the emulators' own second opinion on bridge's."""

import base64
import hashlib
import hmac


def slack_signature(body: bytes, *, secret: str, timestamp: str) -> str:
    """Sign a request as Slack does (v0)."""
    signed = b"v0:" + timestamp.encode() + b":" + body
    return "v0=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


def webhook_signature(body: bytes, *, secret: str, message_id: str, timestamp: str) -> str:
    """Sign a message per Standard Webhooks 1.0.0 (v1); the secret is `whsec_` and base64."""
    key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def github_signature(body: bytes, *, secret: str, algorithm: str) -> str:
    """Sign a body as GitHub does, with sha256 or the legacy sha1."""
    return f"{algorithm}=" + hmac.new(secret.encode(), body, algorithm).hexdigest()
