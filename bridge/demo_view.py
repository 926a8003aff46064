"""What a person sees of the demo: live in a terminal, line by line elsewhere, then one table."""

from datetime import datetime
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bridge.model import Execution, Status

_COLOURS = {Status.COMPLETED: "green", Status.RUNNING: "cyan", Status.PENDING: "cyan", Status.REVIEW_PENDING: "yellow"}
_MARKS = {"delivered": "[green]✓[/]", "dead": "[red]✗[/]", "superseded": "[dim]-[/]"}


class View:
    """Shows executions by the title of the delivery that started them."""

    def __init__(self, console: Console, url: str, engine: str = "Genesis") -> None:
        """Write to `console`; `url` is where the bridge listens, `engine` what is emulated."""
        self._engine = engine
        self._console = console
        self._url = url
        self._executions: dict[str, Execution] = {}
        self._live = Live(console=console, refresh_per_second=12) if console.is_terminal else None

    def __enter__(self) -> Self:
        """Begin."""
        self._console.print(
            f"[bold]genesis-bridge demo[/]  web and worker on {self._url}, beside them an own Valkey and emulated "
            f"{self._engine}, Slack and callback receiver; three signed deliveries:"
        )
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End, leaving the last state on the screen."""
        if self._live is not None:
            self._live.stop()

    def show(self, title: str, execution: Execution) -> None:
        """Show how one execution stands now."""
        before = self._executions.get(title)
        self._executions[title] = execution
        if self._live is not None:
            self._live.update(self._picture())
            return
        known = 0 if before is None else len(before.history)
        for change in execution.history[known:]:
            self._console.print(f"{change.at}  {title}: {change.status}", highlight=False)

    def summary(self, *, callbacks: int, verified: int, posts: int) -> None:
        """Print the closing table."""
        if self._live is not None:
            self._live.stop()
        table = Table(title="What became of them", title_justify="left", expand=False)
        for column in ("delivery", "rule", f"run on {self._engine}", "status", "took", "told"):
            table.add_column(column, overflow="fold")
        for title, execution in self._executions.items():
            table.add_row(
                title,
                execution.rule,
                execution.remote_id or "-",
                _status(execution),
                _took(execution),
                "\n".join(_told(execution)),
            )
        self._console.print(table)
        self._console.print(
            f"The receiver got {callbacks} callbacks, {verified} with a valid signature; Slack got {posts} messages."
        )

    def _picture(self) -> RenderableType:
        return Group(*(_block(title, execution) for title, execution in self._executions.items()))


def _block(title: str, execution: Execution) -> RenderableType:
    head = Table.grid(padding=(0, 1))
    head.add_column(width=1)
    head.add_column(width=48)
    head.add_column(width=22)
    head.add_column()
    progress = execution.progress
    bar: RenderableType = (
        ProgressBar(total=progress.total, completed=progress.done, width=22) if progress else Text("waiting", "dim")
    )
    done = f"{progress.done}/{progress.total} blocks" if progress else ""
    head.add_row(_status_mark(execution), Text(title, "bold"), bar, done)
    steps = Text(" → ").join(Text(change.status, _COLOURS.get(change.status, "")) for change in execution.history)
    variables = "  ".join(f"{name}={value}" for name, value in execution.variables.items())
    told = Text.from_markup("  ".join(_told(execution)) or "[dim]nobody yet[/]")
    return Group(
        head,
        Text.assemble("  rule ", (execution.rule, "bold"), ": ", steps),
        Text(f"  with {variables}", "dim"),
        Text.assemble("  told ", told),
        Text(),
    )


def _status_mark(execution: Execution) -> str:
    if not execution.final:
        return "[cyan]●[/]"
    return "[green]✓[/]" if execution.status == Status.COMPLETED else "[red]✗[/]"


def _status(execution: Execution) -> Text:
    text = f"{execution.status}" + (f": {execution.reason}" if execution.reason else "")
    return Text(text, _COLOURS.get(execution.status, "red"))


def _told(execution: Execution) -> list[str]:
    return [
        f"{_MARKS.get(sent.state, '[cyan]●[/]')} {sent.notifier}: {sent.status}" for sent in execution.notifications
    ]


def _took(execution: Execution) -> str:
    if execution.finished_at is None:
        return "-"
    took = datetime.fromisoformat(execution.finished_at) - datetime.fromisoformat(execution.created_at)
    return f"{took.total_seconds():.1f} s"
