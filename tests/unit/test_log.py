import io
import json
import logging
import re
from collections.abc import Iterator
from typing import Literal

import pytest
import structlog

from bridge.log import configure, kept_in_memory


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Put the logging of the test runner back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


def test_lines_for_machines_are_json() -> None:
    """One object a line, with level and time; exceptions become text in it."""
    lines = io.StringIO()
    configure("json", lines)
    structlog.get_logger().info("delivery.stored", delivery="d_1")
    try:
        int("oops")
    except ValueError:
        structlog.get_logger().exception("tracker.failed")
    first, second = map(json.loads, lines.getvalue().splitlines())
    assert (first["event"], first["delivery"], first["level"]) == ("delivery.stored", "d_1", "info")
    assert first["timestamp"].endswith("Z")
    assert "ValueError: invalid literal" in second["exception"]


def test_lines_for_people_are_plain_where_there_is_no_terminal() -> None:
    """No escape codes in a file."""
    lines = io.StringIO()
    configure("console", lines)
    structlog.get_logger().warning("store.unavailable", reason="gone")
    assert "store.unavailable" in lines.getvalue()
    assert "\x1b" not in lines.getvalue()


def test_libraries_are_heard_from_warning_on() -> None:
    """What arq or uvicorn have to say comes in the same form; their chatter does not come."""
    lines = io.StringIO()
    configure("json", lines)
    logging.getLogger("arq.worker").info("Starting worker")
    logging.getLogger("arq.worker").warning("redis connection error")
    [line] = map(json.loads, lines.getvalue().splitlines())
    assert (line["event"], line["level"]) == ("redis connection error", "warning")


def test_lines_can_be_kept_in_memory_for_a_while() -> None:
    """Afterwards they go where they went before."""
    before, during = io.StringIO(), ""
    configure("json", before)
    with kept_in_memory() as lines:
        structlog.get_logger().info("inside")
        logging.getLogger("arq").warning("inside as well")
        during = lines.getvalue()
    structlog.get_logger().info("outside")
    assert [json.loads(line)["event"] for line in during.splitlines()] == ["inside", "inside as well"]
    assert [json.loads(line)["event"] for line in before.getvalue().splitlines()] == ["outside"]


@pytest.mark.parametrize("mode", ["json", "console"])
def test_no_locals_are_logged(mode: Literal["json", "console"]) -> None:
    """An exception shows where it was raised, and not what the functions held: among that are keys."""

    def asked(key: str) -> None:
        headers = {"x-api-key": key}
        raise RuntimeError(f"{len(headers)} header is wrong")

    lines = io.StringIO()
    configure(mode, lines)
    try:
        asked("-".join(["canary", "key"]))
    except RuntimeError:
        structlog.get_logger().exception("execution.trigger_failed")
        logging.getLogger("arq").exception("the same, by a library")
    assert lines.getvalue().count("RuntimeError: 1 header is wrong") == 2
    assert "canary-key" not in lines.getvalue()


def test_what_others_said_does_not_drive_the_terminal() -> None:
    """Escape codes, line ends and turned text are written out, in values, in lists and in exceptions."""
    lines = io.StringIO()
    configure("console", lines)
    hostile = "\x1b]0;owned\x07\x1b[2Jred\r\n\x9b31mfaked line\u202e"
    structlog.get_logger().error(f"bad {hostile}", reason=hostile, several=[hostile, 5])
    try:
        int(hostile)
    except ValueError as error:
        error.add_note(hostile)
        structlog.get_logger().exception("delivery.failed")
    shown = lines.getvalue()
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", shown)
    ours = [line for line in shown.splitlines() if not line.startswith("  ")]
    assert [line.split()[1:3] for line in ours] == [["[error", "]"]] * 2
    assert r"bad \x1b]0;owned\x07" in shown


class Gone(io.StringIO):
    """A terminal that was closed, or a pipe that nobody reads any more."""

    def write(self, _: str) -> int:
        raise OSError(5, "Input/output error")

    def flush(self) -> None:
        raise BrokenPipeError


@pytest.mark.parametrize("mode", ["json", "console"])
def test_with_nobody_to_read_it_the_work_goes_on(mode: Literal["json", "console"]) -> None:
    """A line that cannot be written is lost; it is no reason to end, or to fail whoever has something to say."""
    configure(mode, Gone())
    structlog.get_logger().info("delivery.stored", delivery="d_1")
    logging.getLogger("arq").warning("as well")
