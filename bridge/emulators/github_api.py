"""GitHub's REST API: a webhook's deliveries, listed page by page and sent again, and what is in repositories.

https://docs.github.com/en/rest/repos/webhooks
"""

import time
from collections.abc import Awaitable, Callable
from typing import Any, Literal
from urllib.parse import parse_qs

import msgspec

from bridge.emulators.emulator import Emulator
from bridge.emulators.exchange import Answer, Exchange, Script, json_answer
from bridge.emulators.github_repository import API_VERSION, Repository, not_found

Kind = Literal["list", "attempt", "repository", "other"]


class HookDelivery(msgspec.Struct, kw_only=True):
    """One attempt to deliver an event; an event's attempts share the GUID."""

    id: int
    guid: str
    delivered_at: str
    event: str
    action: str | None = None
    status: str = "OK"
    status_code: int = 200
    redelivery: bool = False


class Record(msgspec.Struct, kw_only=True):
    """One request in the journal."""

    kind: Kind
    at: float
    path: str
    status: int
    method: str = ""
    body: str = ""
    delivery_id: int | None = None


class GitHubApi(Emulator[Record]):
    """The deliveries of one hook, `hook` being its path such as `repos/o/r/hooks/1`; newest first, as GitHub has them.

    `repositories` are those the token may see and change, `token` being the one accepted. `redeliver` sends an event
    again and gives the status it was answered with; `answers` are given instead of the normal ones, by kind of request.
    """

    def __init__(
        self, hook: str = "", *, token: str, redeliver: Callable[[HookDelivery], Awaitable[int]] | None = None
    ) -> None:
        super().__init__()
        self.hook = hook
        self.token = token
        self.redeliver = redeliver
        self.deliveries: list[HookDelivery] = []
        self.repositories: list[Repository] = []
        self.answers = Script()

    async def handle(self, exchange: Exchange) -> Answer:
        """Route, note and answer one request."""
        kind, delivery_id = self._kind(exchange)
        body = await exchange.body()
        scripted = self.answers.take(kind)
        if scripted is not None:
            answer = scripted.answer
        elif exchange.headers.get("authorization") != f"Bearer {self.token}":
            answer = json_answer({"message": "Bad credentials"}, 401)
        elif exchange.headers.get("x-github-api-version", API_VERSION) != API_VERSION:
            answer = json_answer({"message": "The X-GitHub-Api-Version is not supported"}, 400)
        elif exchange.path == "/rate_limit":
            answer = json_answer({"resources": {}})
        elif kind == "list":
            answer = self._page(exchange)
        elif kind == "repository":
            found = [one for one in self.repositories if one.name == "/".join(exchange.segments[1:3])]
            answer = found[0].answer(exchange.method, exchange.segments[3:], body) if found else not_found()
        else:
            answer = await self._attempt(delivery_id)
        self.journal.append(
            Record(
                kind=kind,
                at=time.time(),
                path=exchange.path,
                status=answer.status,
                delivery_id=delivery_id,
                method=exchange.method,
                body=body.decode(errors="replace"),
            )
        )
        return answer

    async def control(self, exchange: Exchange) -> Answer | None:  # noqa: ARG002 - there is nothing to obey
        """Obey nothing: a test steers it in Python."""
        return None

    def _kind(self, exchange: Exchange) -> tuple[Kind, int | None]:
        path, rest = "/".join(exchange.segments), f"{self.hook}/deliveries"
        if exchange.method == "GET" and path == rest:
            return "list", None
        wanted = path.removeprefix(f"{rest}/").removesuffix("/attempts")
        if exchange.method == "POST" and path == f"{rest}/{wanted}/attempts" and wanted.isdecimal():
            return "attempt", int(wanted)
        return ("repository" if path.startswith("repos/") and "/hooks/" not in path else "other"), None

    def _page(self, exchange: Exchange) -> Answer:
        query = parse_qs(exchange.query)
        size, start = int(query.get("per_page", ["30"])[0]), int(query.get("cursor", ["0"])[0])
        newest = sorted(self.deliveries, key=lambda delivery: delivery.delivered_at, reverse=True)
        headers = {}
        if start + size < len(newest):
            following = f"{self.url}/{self.hook}/deliveries?per_page={size}&cursor={start + size}"
            headers["link"] = f'<{following}>; rel="next"'
        page: list[Any] = [msgspec.to_builtins(delivery) for delivery in newest[start : start + size]]
        return json_answer(page, headers=headers)

    async def _attempt(self, delivery_id: int | None) -> Answer:
        found = next((delivery for delivery in self.deliveries if delivery.id == delivery_id), None)
        if found is None:
            return json_answer({"message": "Not Found"}, 404)
        if self.redeliver is not None:
            status = await self.redeliver(found)
            word = "OK" if status < 400 else f"Invalid HTTP Response: {status}"  # noqa: PLR2004 - HTTP's own line
            self.deliveries.append(
                msgspec.structs.replace(
                    found, id=max(d.id for d in self.deliveries) + 1, status=word, status_code=status, redelivery=True
                )
            )
        return json_answer({}, 202)
