import io
import json
import logging
from collections.abc import Iterator

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
