"""A receiver of callbacks and a sender of relay requests, both strict about Standard Webhooks."""

import hmac
import re
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from bridge.emulators.emulator import Emulator
from bridge.emulators.exchange import Answer, Exchange, Script, Scripted
from bridge.emulators.signing import webhook_signature

TOLERANCE_SECONDS = 300
_TIMESTAMP = re.compile(r"[0-9]{1,12}", re.ASCII)


class Record(msgspec.Struct, kw_only=True):
    """One request in the journal, written before its answer leaves; `problem` says why it is not `verified`."""

    at: float
    monotonic: float
    client: tuple[str, int]
    method: str
    path: str
    headers: dict[str, str]
    id: str
    timestamp: str
    body: bytes
    verified: bool
    problem: str
    status: int  # 0: the connection is dropped
    scripted: bool


class Receiver(Emulator[Record]):
    """Answer 204 to every POST, unless `answers` has something else for its path.

    `secrets` are `whsec_...`; any of them may match any of the signatures presented. With `strict` an unverified
    request gets 401. `clock` gives epoch seconds.
    """

    def __init__(
        self, secrets: Sequence[str] = (), *, strict: bool = False, clock: Callable[[], float] = time.time
    ) -> None:
        super().__init__()
        self.secrets = list(secrets)
        self.strict = strict
        self.answers = Script()
        self._clock = clock

    def received(self, path: str) -> list[Record]:
        """List the requests received at one path so far."""
        return [record for record in self.journal if record.path == path]

    async def handle(self, exchange: Exchange) -> Answer:
        """Judge, note and answer one callback."""
        body = await exchange.body()
        scripted = self.answers.take(exchange.path)
        problem = self._problem(exchange.headers, body)
        if scripted:
            answer = scripted.answer
        elif exchange.method != "POST":
            answer = Answer(status=405)
        else:
            answer = Answer(status=401 if problem and self.strict else 204)
        record = Record(
            at=time.time(),
            monotonic=time.monotonic(),
            client=exchange.client,
            method=exchange.method,
            path=exchange.path,
            headers=exchange.headers,
            id=exchange.headers.get("webhook-id", ""),
            timestamp=exchange.headers.get("webhook-timestamp", ""),
            body=body,
            verified=not problem,
            problem=problem,
            status=0 if answer.drop else answer.status,
            scripted=scripted is not None,
        )
        self.journal.append(record)
        return answer

    async def control(self, exchange: Exchange) -> Answer | None:
        """Obey `/_emulator/answers`."""
        body = await exchange.body()
        match exchange.method, exchange.segments[1:]:
            case "POST", ("answers",):
                self.answers.append(msgspec.json.decode(body, type=Scripted))
            case "DELETE", ("answers",):
                self.answers.clear()
            case _:
                return None
        return Answer(status=204)

    def shown(self, record: Record) -> dict[str, Any]:
        """Show the body as text: callbacks are JSON, and base64 would hide it."""
        return super().shown(record) | {"body": record.body.decode(errors="replace")}

    def _problem(self, headers: dict[str, str], body: bytes) -> str:
        message_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
        if not message_id or "." in message_id:
            return "webhook-id missing or with a full stop"
        if not _TIMESTAMP.fullmatch(timestamp):
            return "webhook-timestamp is not a number"
        presented = headers.get("webhook-signature", "").encode("latin-1").split(b" ")
        expected = [
            webhook_signature(body, secret=secret, message_id=message_id, timestamp=timestamp).encode()
            for secret in self.secrets
        ]
        if not any(hmac.compare_digest(mine, theirs) for mine in expected for theirs in presented):
            return "no signature matches"
        if abs(self._clock() - int(timestamp)) > TOLERANCE_SECONDS:
            return "webhook-timestamp is too far from now"
        return ""


def relay(body: bytes, *, secret: str, message_id: str, now: float | None = None) -> dict[str, str]:
    """Sign a request per Standard Webhooks; gives its headers. `now` is in epoch seconds."""
    timestamp = str(int(time.time() if now is None else now))
    signature = webhook_signature(body, secret=secret, message_id=message_id, timestamp=timestamp)
    return {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": signature,
    }
