"""The commands `deliveries` and `executions`: what an operator sees and orders, over the API of a running bridge."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import rich_click as click

from bridge.errors import BridgeError
from bridge.terminal import json_text, line

if TYPE_CHECKING:
    from bridge.settings import Settings

_TIMEOUT_SECONDS = 30.0
_MOST_ANSWER_BYTES = 50_000_000
_ANYWHERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared with, not listened on
_FAILED = 400

_limit = click.option("--limit", default=20, help="How many, at most 100.")
_cursor = click.option("--cursor", help="Go on where the last page ended: it says so.")
_reason = click.option("--reason", default="", help="Kept with what was done.")
_kind = click.argument("kind", type=click.Choice(["engine", "rule"]))


class ApiProblem(BridgeError):
    """The API did not do what it was asked; the message is its own."""


@click.group()
def deliveries() -> None:
    """See and replay what came in, in a running bridge (BRIDGE_PUBLIC_URL, BRIDGE_API_TOKENS)."""


@deliveries.command("list")
@_limit
@_cursor
def list_deliveries(limit: int, cursor: str | None) -> None:
    """List the newest deliveries."""
    _list("deliveries", limit, cursor, "received_at", "id", "source", "event", "outcome")


@deliveries.command("show")
@click.argument("delivery")
def show_delivery(delivery: str) -> None:
    """Show one delivery, with what each rule said."""
    _show(ask("GET", f"deliveries/{_segment(delivery)}"))


@deliveries.command("replay")
@click.argument("delivery")
@click.option("--rules", default="present", type=click.Choice(["present", "old"]), help="old: what it started then.")
def replay_delivery(delivery: str, rules: str) -> None:
    """Run a delivery again, as a delivery of its own."""
    _show(ask("POST", f"deliveries/{_segment(delivery)}/replay", {"rules": rules}))


@click.group()
def executions() -> None:
    """See, resolve, retry and pause what runs, in a running bridge (BRIDGE_PUBLIC_URL, BRIDGE_API_TOKENS)."""


@executions.command("list")
@click.option("--dead", is_flag=True, help="What needs a person: unknown executions, undeliverable notifications.")
@_limit
@_cursor
def list_executions(limit: int, cursor: str | None, *, dead: bool) -> None:
    """List the newest executions, or the dead letters."""
    if dead:
        _list("dead-letters", limit, cursor, "at", "kind", "id", "reason")
    else:
        _list("executions", limit, cursor, "created_at", "id", "rule", "status", "reason")


@executions.command("show")
@click.argument("execution")
def show_execution(execution: str) -> None:
    """Show one execution, with its history and notifications."""
    _show(ask("GET", f"executions/{_segment(execution)}"))


@executions.command("resolve")
@click.argument("execution")
@click.argument("outcome", type=click.Choice(["ran", "did-not-run", "close"]))
@click.option("--remote-id", help="With `ran`: the engine's own id of the run.")
@_reason
def resolve_execution(execution: str, outcome: str, remote_id: str | None, reason: str) -> None:
    """Settle an unknown execution: it ran, it did not (and is started), or leave it as it is."""
    body = {"outcome": outcome.replace("-", "_"), "remote_id": remote_id, "reason": reason}
    _show(ask("POST", f"executions/{_segment(execution)}/resolve", body))


@executions.command("retry")
@click.argument("notification")
@_reason
def retry_notification(notification: str, reason: str) -> None:
    """Send a dead or waiting notification now."""
    _show(ask("POST", f"notifications/{_segment(notification)}/retry", {"reason": reason}))


@executions.command("pause")
@_kind
@click.argument("name")
@_reason
def pause(kind: str, name: str, reason: str) -> None:
    """Keep what an engine or a rule has queued; prints all that is paused."""
    _show(ask("POST", f"{kind}s/{_segment(name)}/pause", {"reason": reason}))


@executions.command("resume")
@_kind
@click.argument("name")
def resume(kind: str, name: str) -> None:
    """Let go what an engine or a rule has queued; prints what is still paused."""
    _show(ask("POST", f"{kind}s/{_segment(name)}/resume", {}))


@executions.command("paused")
def paused() -> None:
    """Show which engines and rules are paused, by whom and why."""
    _show(ask("GET", "paused"))


def _list(what: str, limit: int, cursor: str | None, *columns: str) -> None:
    query = {"limit": limit, **({} if cursor is None else {"cursor": cursor})}
    page = ask("GET", f"{what}?{urlencode(query)}")
    for item in page["items"]:
        click.echo(line("  ".join(str(item[column]) for column in columns if item[column] is not None)))
    if page["next"] is not None:
        click.echo(f"more: --cursor {page['next']}", err=True)


def _show(found: Any) -> None:
    import msgspec

    click.echo(json_text(msgspec.json.format(msgspec.json.encode(found), indent=2).decode()))


def _segment(text: str) -> str:
    return quote(text, safe="")


def ask(method: str, path: str, body: Mapping[str, Any] | None = None, *, look: bool = False) -> Any:
    """Ask the API of the bridge that the environment names; to `look`, a read token does.

    Raises ApiProblem and AttemptError.
    """
    import asyncio

    import msgspec

    from bridge.settings import Settings, Tokens

    settings = Settings.load(os.environ)
    tokens = settings.api_tokens + (settings.read_tokens if look else Tokens())
    if not tokens:
        more = " (or BRIDGE_READ_TOKENS)" if look else " that may operate"
        raise ApiProblem(f"this needs a token{more}: set BRIDGE_API_TOKENS as for the bridge itself")
    url = base_url(settings)
    token = tokens[0].decode()
    content = None if body is None else msgspec.json.encode(body)
    status, answer = asyncio.run(_request(method, f"{url}/api/{path}", token, content))
    try:
        found = msgspec.json.decode(answer)
    except (msgspec.DecodeError, UnicodeError):
        raise ApiProblem(f"{url} answers HTTP {status}, but not as a bridge does: check BRIDGE_PUBLIC_URL") from None
    if status >= _FAILED:
        detail = found.get("detail") if isinstance(found, dict) else None
        raise ApiProblem(f"{detail or 'refused'} (HTTP {status})")
    return found


def base_url(settings: "Settings") -> str:
    """Return where the bridge of this environment is reached."""
    return settings.public_url or _local(settings.host, settings.port)


def _local(host: str, port: int) -> str:
    host = _ANYWHERE.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def _request(method: str, url: str, token: str, content: bytes | None) -> tuple[int, bytes]:
    from bridge.outbound import Outbound

    headers = {"authorization": f"Bearer {token}"}
    if content is not None:
        headers["content-type"] = "application/json"
    async with Outbound() as outbound:
        answer = await outbound.request(
            method,
            url,
            headers=headers,
            content=content,
            timeout_seconds=_TIMEOUT_SECONDS,
            max_bytes=_MOST_ANSWER_BYTES,
        )
    return answer.status, answer.body
