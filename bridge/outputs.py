"""Outputs as people get them: text and links; what the engine keeps becomes a link of ours, good as long as the record.

The link's last part is random: whoever has it may see that one file, and its name, which the engine chose, is no part
of any path.
"""

import secrets
from collections.abc import Mapping

import msgspec

from bridge.model import Link, Output
from bridge.notes import Fields
from bridge.runs import MAX_OUTPUTS, File

MAX_NAME_CHARACTERS = 200

_decode_files = msgspec.json.Decoder(dict[str, str]).decode


def shown(
    outputs: Mapping[str, str | Link | File], public_url: str, execution_id: str
) -> tuple[dict[str, Output], dict[str, str]]:
    """Return the outputs as they are shown, and for each file the link's last part with the engine's reference."""
    found: dict[str, Output] = {}
    files: dict[str, str] = {}
    for name, output in list(outputs.items())[:MAX_OUTPUTS]:
        if isinstance(output, File):
            part = secrets.token_urlsafe(16)
            files[part] = output.reference
            url = f"{public_url}/files/{execution_id}/{part}"
            found[name[:MAX_NAME_CHARACTERS]] = Link(url=url, type=output.type, size=output.size)
        else:
            found[name[:MAX_NAME_CHARACTERS]] = output
    return found, files


def named(outputs: Mapping[str, str | Link | File], names: Mapping[str, str]) -> dict[str, str | Link | File]:
    """Return the outputs under the names a template has for the engine's: of `9`, and so of its second one, `9_2`."""
    ours = {theirs: name for name, theirs in names.items()}
    return {_ours(name, ours): output for name, output in outputs.items()}


def _ours(name: str, ours: Mapping[str, str]) -> str:
    if name in ours:
        return ours[name]
    first, _, number = name.rpartition("_")
    return f"{ours[first]}_{number}" if first in ours and number.isdecimal() else name


def reference(fields: Fields, part: str) -> str | None:
    """Return what the engine knows a file by, from an execution's hash; None: there is no such link."""
    return _decode_files(fields.get("files", b"{}")).get(part)
