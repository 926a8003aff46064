import io

from msgspec import structs
from rich.console import Console

from bridge.demo_view import View
from bridge.model import Change, Execution, Notification, Progress, Status

AT = "2026-11-22T05:00:00.000Z"
QUEUED = Execution(
    id="x_1",
    delivery_id="d_1",
    rule="e2e-on-preview",
    source="github",
    engine="genesis",
    template="e2e",
    variables={"branch": "main"},
    status=Status.QUEUED,
    final=False,
    created_at=AT,
    history=[Change(AT, Status.QUEUED)],
)
RUNNING = structs.replace(
    QUEUED,
    status=Status.RUNNING,
    progress=Progress(2, 5),
    history=[*QUEUED.history, Change(AT, Status.RUNNING)],
    notifications=[Notification(id="m", notifier="qa", status=Status.PENDING, state="delivered")],
)
COMPLETED = structs.replace(
    RUNNING,
    status=Status.COMPLETED,
    final=True,
    remote_id="run-1",
    finished_at="2026-11-22T05:00:02.500Z",
    history=[*RUNNING.history, Change(AT, Status.COMPLETED)],
)
FAILED = structs.replace(COMPLETED, status=Status.FAILED, reason="a block failed")


def seen(*executions: Execution, terminal: bool) -> str:
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=terminal, width=140, color_system=None)
    with View(console, "http://127.0.0.1:8080") as view:
        for execution in executions:
            view.show("GitHub", execution)
        view.summary(callbacks=1, verified=1, posts=2)
    return shown.getvalue()


def test_a_terminal_shows_progress_and_who_was_told() -> None:
    """The picture is drawn anew with every look."""
    text = seen(QUEUED, RUNNING, COMPLETED, terminal=True)
    assert "2/5 blocks" in text
    assert "queued → running → completed" in text
    assert "qa: pending" in text


def test_elsewhere_every_change_is_one_line() -> None:
    """A script's log stays readable, and no change is told twice."""
    lines = seen(QUEUED, QUEUED, RUNNING, COMPLETED, terminal=False).splitlines()
    assert [line for line in lines if line.startswith(AT)] == [
        f"{AT}  GitHub: queued",
        f"{AT}  GitHub: running",
        f"{AT}  GitHub: completed",
    ]


def test_the_closing_table_says_what_became_of_it() -> None:
    """Rule, run, status, time and who was told; a failure with its reason, an open one without an end."""
    for execution, words in ((COMPLETED, "2.5 s"), (FAILED, "failed: a block failed"), (QUEUED, "-")):
        table = seen(execution, terminal=False).split("What became of them")[1]
        assert "e2e-on-preview" in table
        assert words in table
    assert "1 callbacks, 1 with a valid signature; Slack got 2 messages" in table


def test_a_failed_one_is_marked_in_the_picture() -> None:
    """Red, or here: a cross."""
    assert "✗" in seen(FAILED, terminal=True)
