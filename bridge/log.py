"""Logs: one line per thing that happened, with its ids; never bodies, headers, locals or anything secret."""

import contextlib
import io
import logging
import sys
from collections.abc import Iterator
from textwrap import indent
from typing import Any, Literal, TextIO, cast

import structlog

from bridge.terminal import line, plain

Mode = Literal["json", "console"]


class _Surviving:
    """Where lines go as long as anybody takes them.

    A terminal that was closed, a reader that died or a full disk ends no work: what is done stands in the records.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            return self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()


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
        # Its own way with exceptions shows every frame's locals, and among those are keys and tokens.
        console = structlog.dev.ConsoleRenderer(colors=stream.isatty(), pad_event_to=24, exception_formatter=_traceback)

        def renderer(logger: Any, name: str, event: structlog.typing.EventDict) -> str:
            return console(logger, name, {key: _shown(value) for key, value in event.items()})

    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, _Surviving(stream))),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(_Surviving(stream))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


def _shown(value: Any) -> Any:
    """Return what a terminal may be sent: much of it was said by others."""
    if isinstance(value, str):
        return line(value)
    return [_shown(inner) for inner in value] if isinstance(value, list) else value


def _traceback(stream: TextIO, exc_info: structlog.typing.ExcInfo) -> None:
    text = io.StringIO()
    structlog.dev.plain_traceback(text, exc_info)
    # Indented, so that no line of an exception's own text can look like one of ours.
    stream.write(indent(plain(text.getvalue()), "  ", lambda _: True))


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
