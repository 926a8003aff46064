"""The commands `explain` and `send`: an event from a file, asked about without a trace, or delivered for real."""

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from bridge.errors import BridgeError, Refusal
from bridge.operate import ask, base_url

if TYPE_CHECKING:
    from bridge.config import Config
    from bridge.explanation import Explanation
    from bridge.outbound import Answer
    from bridge.sending import Parcel

_SUCCESS_BELOW = 400

_event = click.option("--event", default="", help="The event's name, where the file does not say: push, /genesis.")


class Unusable(BridgeError):
    """What was asked for cannot be done with this file; the message says why."""


@click.command()
@click.argument("source", required=False)
@click.argument("file", required=False)
@_event
@click.option("--delivery", metavar="ID", help="Instead of a file: a delivery that a running bridge has stored.")
@click.option("--json", "as_json", is_flag=True, help="For programs: what POST /api/explain answers.")
@click.option("--expect", metavar="RULE", help="Exit with 1 unless this rule would run.")
def explain(
    source: str | None, file: str | None, *, event: str, delivery: str | None, as_json: bool, expect: str | None
) -> None:
    """Say of an event which rules would run, which would not, and why.

    FILE holds a body (JSON, or a form), or a whole HTTP request as it was captured; - reads standard input. Nothing is
    sent or stored, no signature is checked, and no secret is needed.
    """
    if delivery is not None:
        told = _explain_delivery(delivery, as_json=as_json)
    elif source is None or file is None:
        raise click.UsageError("name a SOURCE and a FILE, or a --delivery")
    else:
        told = _explain_file(source, file, event, as_json=as_json)
    if expect is not None and not _meets(told, expect):
        sys.exit(1)


@click.command()
@click.argument("source")
@click.argument("file")
@_event
@click.option("--to", metavar="URL", help="The bridge, or one of its /hooks/ URLs; otherwise BRIDGE_PUBLIC_URL.")
def send(source: str, file: str, *, event: str, to: str | None) -> None:
    """Sign a file as the source's sender would, deliver it, and show the answer.

    FILE is what `explain` takes. Only the source's own secret is needed, the first one.
    """
    import asyncio
    import time

    from bridge.sending import hook_url
    from bridge.sending import send as deliver
    from bridge.settings import Settings

    parcel, _ = _parcel(_config(), source, file, event)
    url = hook_url(to or base_url(Settings.load(os.environ)), source)
    answer = asyncio.run(deliver(parcel, url, os.environ, int(time.time())))
    _show_answer(answer)
    sys.exit(int(answer.status >= _SUCCESS_BELOW))


def _explain_file(source: str, file: str, event: str, *, as_json: bool) -> "Explanation":
    from msgspec import structs

    from bridge.explanation import ask as decided
    from bridge.explanation import explain as explained
    from bridge.sending import hook_url
    from bridge.settings import Settings

    config = _config()
    parcel, named = _parcel(config, source, file, event)
    try:
        happened = structs.replace(parcel.source.parse(parcel.request), source=source)
    except Refusal as refusal:
        raise Unusable(f"{file} cannot be read as an event of {source!r}: {refusal}") from None
    decision = decided(config, happened)
    told = explained(config, happened, decision)
    if as_json:
        _print_json(told)
        return told
    places = {name: str(written.problem((), "")).removesuffix(": ") for name, written in config.written.items()}
    _show(told, names=happened.names(), decision=decision, places=places)
    if named and not event:
        click.secho(f"\n{named!r} is what the body looks like; --event says it if it is another.", fg="yellow")
    options = ["--event", event or named] if event or named else []
    again = shlex.join(["genesis-bridge", "send", source, file, *options])
    url = hook_url(base_url(Settings.load(os.environ)), source)
    click.echo(f"\n{click.style('send it', bold=True)}    {again}")
    click.echo(f"{click.style('with curl', bold=True)}  {parcel.curl(url)}")
    return told


def _explain_delivery(delivery: str, *, as_json: bool) -> "Explanation":
    import msgspec

    from bridge.explain_view import harmless
    from bridge.explanation import Explanation

    told = msgspec.convert(ask("POST", "explain", {"delivery_id": delivery}, look=True), Explanation)
    if as_json:
        _print_json(told)
        return told
    _show(told)
    then = ask("GET", f"deliveries/{delivery}", look=True)
    verdicts = {result.rule: result.verdict for result in told.rules}
    for was in then["rules"]:
        now = verdicts.get(was["rule"], "gone")
        if was["verdict"] != now:
            reason = f": {harmless(was['reason'])}" if was["reason"] else ""
            click.secho(f"\n{was['rule']} was {was['verdict']} when it came in, and is {now} now{reason}", fg="yellow")
    click.echo(f"\n{click.style('run it again', bold=True)}  genesis-bridge deliveries replay {delivery}")
    return told


def _show(told: "Explanation", **known: Any) -> None:
    from rich.console import Console

    from bridge.explain_view import View

    View(Console(highlight=False), told, **known).show()


def _print_json(told: "Explanation") -> None:
    import msgspec

    click.echo(msgspec.json.format(msgspec.json.encode(told), indent=2))


def _meets(told: "Explanation", expect: str) -> bool:
    from bridge.explain_view import harmless
    from bridge.suggest import unknown

    results = {result.rule: result for result in told.rules}
    if expect not in results:
        raise Unusable(f"--expect: {unknown('rule', expect, results)}")
    if results[expect].verdict != "match":
        reason = harmless(str(results[expect].reason))
        click.secho(f"expected {expect} to run, but it does not: {reason}", fg="red", err=True)
    return results[expect].verdict == "match"


def _config() -> "Config":
    from bridge.config import load
    from bridge.settings import Settings

    return load(Path(Settings.load(os.environ).config), None)


def _parcel(config: "Config", source: str, file: str, event: str) -> tuple["Parcel", str]:
    """Read a file as a request of the source, and say which event it was taken for where nothing named it."""
    from bridge.captured import guessed, read
    from bridge.sending import Parcel
    from bridge.suggest import unknown

    configured = config.sources.get(source)
    if configured is None:
        raise Unusable(unknown("source", source, config.sources))
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise Unusable(f"{file} cannot be read: {error.strerror}") from None
    try:
        named = guessed(configured, data)
        request = read(configured, data, event)
    except Refusal as refusal:
        raise Unusable(f"{file} cannot be read: {refusal}") from None
    return Parcel(source=configured, request=request, file="" if file == "-" else file, data=data), named


def _show_answer(answer: "Answer") -> None:
    """Print what a bridge answered to a delivery, for people."""
    import msgspec

    from bridge.explain_view import harmless
    from bridge.mrkdwn import unescape

    good = answer.status < _SUCCESS_BELOW
    try:
        found = msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, UnicodeError):
        found = {}
    found = found if isinstance(found, dict) else {}
    says = found.get("outcome") or found.get("title") or unescape(str(found.get("text", ""))) or answer.words()
    click.secho(f"{answer.status} {says}", fg="green" if good else "red")
    for key in ("delivery_id", "reason", "detail"):
        if found.get(key):
            click.echo("\n".join(f"  {harmless(line)}" for line in str(found[key]).split("\n")))
    for execution in found.get("executions", []):
        click.echo(f"  {click.style('✓', fg='green')} {execution['rule']}  {execution['status_url']}")
    for skipped in found.get("skipped", []):
        click.echo(f"  {click.style('✗', fg='red')} {skipped['rule']}  {harmless(skipped['reason'])}")
