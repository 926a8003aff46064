"""Logs: one line per thing that happened, with its ids; never bodies, headers or anything secret."""

import contextlib
import io
import logging
import sys
from collections.abc import Iterator
from typing import Literal, TextIO

import structlog

Mode = Literal["json", "console"]


def configure(mode: Mode, stream: TextIO = sys.stderr, level: int = logging.INFO) -> None:
    """Send every log line, ours and the libraries', to `stream` as JSON or for a person's eyes."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if mode == "json":
        shared.append(structlog.processors.format_exc_info)
        renderer: structlog.typing.Processor = structlog.processors.JSONRenderer()
    else:
        renderer = structlog.dev.ConsoleRenderer(colors=stream.isatty(), pad_event_to=24)
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


@contextlib.contextmanager
def kept_in_memory() -> Iterator[io.StringIO]:
    """Collect log lines as JSON instead of writing them, then go back to what was configured before."""
    root = logging.getLogger()
    before, handlers, level = structlog.get_config(), root.handlers[:], root.level
    lines = io.StringIO()
    configure("json", lines)
    try:
        yield lines
    finally:
        structlog.configure(**before)
        root.handlers[:], root.level = handlers, level
