"""The command line. Every command imports what it needs when it runs, so that `check` answers at once."""

import os
import sys
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from bridge import __version__
from bridge.convert import import_
from bridge.errors import BridgeError, ConfigError
from bridge.operate import deliveries, executions
from bridge.rehearse import explain, send
from bridge.terminal import line, plain

if TYPE_CHECKING:
    from bridge.config import Config
    from bridge.settings import Settings

_ENGINES = ("genesis", "agentifyme", "comfy")
"""Those that there is an emulator of."""
_CONFIG = click.argument("file", required=False, type=click.Path(path_type=Path))


class _Friendly(click.RichGroup):
    """Shows our own errors as text for people, without a traceback, and exits with 1."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            for problem in error.problems:
                click.echo(line(str(problem)), err=True)
            count = len(error.problems)
            click.secho(f"{count} problem{'s' if count > 1 else ''}", fg="red", err=True)
        except BridgeError as error:
            click.secho(plain(str(error)), fg="red", err=True)
        sys.exit(1)


@click.group(cls=_Friendly, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="genesis-bridge")
def main() -> None:
    """From events to workflows: GitHub, Slack and signed requests start runs, and the result comes back."""


@main.command()
def up() -> None:
    """Run web and worker in one process, with a private Valkey when BRIDGE_REDIS_URL is unset."""
    _run(web=True, work=True, private=True)


@main.command()
def serve() -> None:
    """Run the web half: take deliveries. Any number of these may run."""
    _run(web=True, work=False, private=False)


@main.command()
def worker() -> None:
    """Run the worker half: start, follow and report. Any number of these may run."""
    _run(web=False, work=True, private=False)


@main.command()
@_CONFIG
@click.option("--no-secrets", is_flag=True, help="Do not read the secrets: for a CI that has none.")
@click.option("--strict", is_flag=True, help="Exit with 1 for warnings, too.")
def check(file: Path | None, *, no_secrets: bool, strict: bool) -> None:
    """Validate the configuration and run the tests beside its rules: every problem as file:line:column: message.

    Exits with 1 if there is any. What can be run but is surely not meant (a rule that never runs, a template nobody
    starts) is a warning.
    """
    from bridge.config import load
    from bridge.rule_tests import run

    path = file or Path(_settings().config)
    config = load(path, None if no_secrets else os.environ)
    tested = run(config)
    if tested.problems:
        for problem in tested.problems:
            click.echo(_coloured(str(problem)), err=True)
        click.secho(f"{tested.failed} of {tested.ran} tests failed", fg="red", err=True)
        sys.exit(1)
    counts = {
        "source": len(config.sources),
        "engine": len(config.engines),
        "template": len(config.ruleset.templates),
        "notifier": len(config.notifiers),
        "rule": len(config.ruleset.rules),
        "test": tested.ran,
    }
    for file_, row, column, message in config.warnings:
        click.echo(f"{file_}:{row}:{column}: {click.style('warning', fg='yellow')}: {line(message)}", err=True)
    if config.warnings:
        counts["warning"] = len(config.warnings)
    told = ", ".join(f"{count} {what}{'' if count == 1 else 's'}" for what, count in counts.items())
    refused = strict and config.warnings
    verdict = click.style("not ok under --strict", fg="red") if refused else click.style("ok", fg="green")
    click.echo(f"{path}: {verdict}: {told}")
    sys.exit(int(bool(refused)))


@main.command()
def doctor() -> None:
    """Ask Redis, the engines and Slack whether they would do: ok, or one line that says what to change."""
    import asyncio

    from bridge.doctor import diagnose

    settings = _settings()
    lines = asyncio.run(diagnose(settings, _config(settings)))
    for found in lines:
        click.secho(line(str(found)), fg={"ok": "green", "warning": "yellow", "refused": "red"}[found.verdict])
    sys.exit(int(any(found.verdict == "refused" for found in lines)))


@main.command()
def schema() -> None:
    """Print the JSON Schema of the configuration, for editors."""
    import msgspec

    from bridge.schema import schema as config_schema

    click.echo(msgspec.json.format(msgspec.json.encode(config_schema()), indent=2).decode())


@main.command()
@click.option("--once", is_flag=True, help="Exit when the three deliveries have ended: 0 if all ended as they should.")
@click.option("--engine", default="genesis", type=click.Choice(_ENGINES), help="Which engine to emulate.")
def demo(*, once: bool, engine: str) -> None:
    """Run the whole way on this machine: an emulated engine and Slack, three signed deliveries, followed live."""
    import uvloop

    from bridge.demo import run

    uvloop.run(run(once=once, engine=engine))


@main.command()
@click.argument("what", type=click.Choice([*_ENGINES, "slack", "receiver"]))
@click.option("--port", default=0, help="The port to listen on; 0: any free one.")
@click.option("--secret", envvar="EMULATOR_SECRET", help="receiver: the callback secret to verify with (whsec_...).")
def emulate(what: str, port: int, secret: str | None) -> None:
    """Run one emulator on its own, to develop rules without an account."""
    import uvloop

    from bridge.demo import emulate as run

    uvloop.run(run(what, port, secret))


@main.group()
def reconcile() -> None:
    """Ask a sender to send again what it could not deliver while we were away."""


@reconcile.command("github")
@click.option("--hook", required=True, help="repos/OWNER/REPO/hooks/ID or orgs/ORG/hooks/ID")
@click.option("--since", default="3d", help="How far back to look; GitHub keeps deliveries for three days.")
@click.option("--dry-run", is_flag=True, help="Only list what never arrived.")
@click.option("--api-url", default=None, help="GitHub Enterprise Server: https://HOST/api/v3")
def reconcile_github(hook: str, since: str, *, dry_run: bool, api_url: str | None) -> None:
    """List a webhook's failed deliveries and have them sent again; the token is read from GITHUB_TOKEN."""
    import uvloop

    from bridge.duration import Duration

    try:
        back = Duration.decode(since)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--since") from None
    token = os.environ.get("GITHUB_TOKEN", "")
    if not token:
        raise click.UsageError("set GITHUB_TOKEN to a token that may administer the webhook")
    uvloop.run(_reconcile(hook, token, back, api_url, dry_run=dry_run))


async def _reconcile(hook: str, token: str, since: timedelta, api_url: str | None, *, dry_run: bool) -> None:
    from bridge.github_api import GITHUB_API
    from bridge.outbound import Outbound
    from bridge.reconcile import GitHubHook

    async with Outbound() as outbound:
        github = GitHubHook(outbound, hook, token, api_url=api_url or GITHUB_API)
        failed = await github.failed(since)
        for attempt in failed:
            what = f"{attempt.event}.{attempt.action}" if attempt.action else attempt.event
            click.echo(line(f"{attempt.delivered_at}  {attempt.guid}  {what}: {attempt.status}"), nl=dry_run)
            if not dry_run:
                await github.redeliver(attempt)
                click.echo(" - asked for again")
        click.echo(f"{len(failed)} never arrived" + ("" if dry_run or not failed else ", all asked for again"))


main.add_command(deliveries)
main.add_command(executions)
main.add_command(explain)
main.add_command(send)
main.add_command(import_)


def _coloured(problem: str) -> str:
    """Give the two sides of a difference their colours; a stream that is no terminal gets none."""
    first, *lines = problem.split("\n")
    colours = {"expected": "green", "actual": "red"}
    return "\n".join([first, *(click.style(line, fg=colours.get(line.split()[0])) for line in lines)])


def _run(*, web: bool, work: bool, private: bool) -> None:
    import uvloop

    from bridge.process import Service, redis_for, serve_until_signal

    settings = _settings()
    _configure_logs(settings)
    config = _config(settings)
    with redis_for(settings, private=private) as redis_url:
        service = Service(settings, config, redis_url, web=web, work=work, reread=partial(_config, settings))
        uvloop.run(serve_until_signal(service))


def _settings() -> "Settings":
    from bridge.settings import Settings

    return Settings.load(os.environ)


def _config(settings: "Settings") -> "Config":
    from bridge.config import load

    return load(Path(settings.config), os.environ)


def _configure_logs(settings: "Settings") -> None:
    from bridge.log import configure

    configure(settings.log or ("console" if sys.stderr.isatty() else "json"))
