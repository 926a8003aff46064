"""The command `import`: another tool's rules in, ours on standard output, what is left out on standard error."""

from pathlib import Path

import rich_click as click

_FILE = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))


@click.group("import")
def import_() -> None:
    """Turn the rules of another tool into ours; what cannot be carried over is said line by line."""


@import_.command()
@_FILE
def adnanh(file: Path) -> None:
    """Turn hooks of adnanh/webhook (JSON or YAML) into rules."""
    _convert("adnanh", file)


@import_.command()
@_FILE
def gwt(file: Path) -> None:
    """Turn settings of Jenkins' Generic Webhook Trigger (JSON or YAML) into rules."""
    _convert("gwt", file)


@import_.command()
@_FILE
def tekton(file: Path) -> None:
    """Turn Tekton's EventListeners, triggers, bindings and templates (one file, any number of documents) into rules."""
    _convert("tekton", file)


def _convert(kind: str, file: Path) -> None:
    from bridge.errors import ConfigError, Problem
    from bridge.importers import FORMATS

    try:
        data = file.read_bytes()
    except OSError as error:
        raise ConfigError([Problem(str(file), 1, 1, f"the file cannot be read: {error.strerror}")]) from None
    draft = FORMATS[kind](data, str(file))
    click.echo(draft.text(), nl=False)
    for note in draft.told():
        click.echo(note, err=True)
    rules, notes = len(draft.rules), len(draft.notes)
    told = f"{rules} rule{'' if rules == 1 else 's'}; {notes} note{'' if notes == 1 else 's'} on what is not as it was"
    click.secho(told, fg="yellow" if notes else "green", err=True)
