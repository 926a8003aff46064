"""Slack's limits on the blocks of a message, as a list of complaints in Slack's own wording."""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

BLOCKS_LIMIT = 50
# Undocumented; sums from 12,000 to 13,200 were seen to be refused (slackapi/bolt-js#2509), so the strict end.
TOTAL_CHARACTERS_LIMIT = 12_000
MARKDOWN_CHARACTERS_LIMIT = 12_000

Problems = Iterator[str]


def problems(blocks: Any) -> list[str]:
    """List what Slack would refuse about the blocks; empty if nothing."""
    if not isinstance(blocks, list):
        return ["[ERROR] must provide an array [json-pointer:/blocks]"]
    return list(_problems(blocks))


def characters(blocks: Any) -> int:
    """Count the characters of all texts in the blocks."""
    if isinstance(blocks, list):
        return sum(characters(item) for item in blocks)
    if isinstance(blocks, dict):
        own = blocks.get("text")
        rest = [value for name, value in blocks.items() if name != "text" or not isinstance(own, str)]
        return (len(own) if isinstance(own, str) else 0) + characters(rest)
    return 0


def _problems(blocks: list[Any]) -> Problems:
    if len(blocks) > BLOCKS_LIMIT:
        yield f"[ERROR] no more than {BLOCKS_LIMIT} items allowed [json-pointer:/blocks]"
    seen: set[str] = set()
    markdown = 0
    for number, block in enumerate(blocks):
        where = f"/blocks/{number}"
        kind = block.get("type") if isinstance(block, dict) else None
        if kind not in _CHECKS:
            yield f"[ERROR] unsupported type: {kind} [json-pointer:{where}/type]"
            continue
        block_id = block.get("block_id", f"(generated {number})")
        yield from _length(block_id, 255, f"{where}/block_id")
        if block_id in seen:
            yield f"[ERROR] block_id already exists: {block_id} [json-pointer:{where}/block_id]"
        seen.add(str(block_id))
        yield from _CHECKS[kind](block, where)
        markdown += characters([block]) if kind == "markdown" else 0
    if markdown > MARKDOWN_CHARACTERS_LIMIT:
        yield f"[ERROR] markdown blocks exceed {MARKDOWN_CHARACTERS_LIMIT} characters [json-pointer:/blocks]"


def _length(value: object, limit: int, where: str) -> Problems:
    if not isinstance(value, str) or not value:
        yield f"[ERROR] must be a non-empty string [json-pointer:{where}]"
    elif len(value) > limit:
        yield f"[ERROR] must be less than {limit + 1} characters [json-pointer:{where}]"


def _text(value: object, limit: int, where: str, kinds: tuple[str, ...] = ("plain_text", "mrkdwn")) -> Problems:
    if not isinstance(value, dict) or value.get("type") not in kinds:
        yield f"[ERROR] must be a text object of type {' or '.join(kinds)} [json-pointer:{where}]"
    else:
        yield from _length(value.get("text"), limit, f"{where}/text")


def _items(value: object, limit: int, where: str) -> list[Any] | str:
    if not isinstance(value, list) or not value:
        return f"[ERROR] must have at least one item [json-pointer:{where}]"
    if len(value) > limit:
        return f"[ERROR] no more than {limit} items allowed [json-pointer:{where}]"
    return value


def _section(block: dict[str, Any], where: str) -> Problems:
    if "text" not in block and "fields" not in block:
        yield f"[ERROR] missing required field: text or fields [json-pointer:{where}]"
    if "text" in block:
        yield from _text(block["text"], 3000, f"{where}/text")
    if "fields" in block:
        items = _items(block["fields"], 10, f"{where}/fields")
        if isinstance(items, str):
            yield items
        else:
            for number, field in enumerate(items):
                yield from _text(field, 2000, f"{where}/fields/{number}")
    if "accessory" in block:
        yield from _element(block["accessory"], f"{where}/accessory")


def _header(block: dict[str, Any], where: str) -> Problems:
    yield from _text(block.get("text"), 150, f"{where}/text", ("plain_text",))


def _context(block: dict[str, Any], where: str) -> Problems:
    items = _items(block.get("elements"), 10, f"{where}/elements")
    if isinstance(items, str):
        yield items
        return
    for number, element in enumerate(items):
        if isinstance(element, dict) and element.get("type") == "image":
            yield from _image(element, f"{where}/elements/{number}")
        else:
            yield from _text(element, 3000, f"{where}/elements/{number}")


def _actions(block: dict[str, Any], where: str) -> Problems:
    items = _items(block.get("elements"), 25, f"{where}/elements")
    if isinstance(items, str):
        yield items
        return
    for number, element in enumerate(items):
        yield from _element(element, f"{where}/elements/{number}")


def _element(element: object, where: str) -> Problems:
    if not isinstance(element, dict) or "type" not in element:
        yield f"[ERROR] must be an element [json-pointer:{where}]"
    elif element["type"] == "button":
        yield from _text(element.get("text"), 75, f"{where}/text", ("plain_text",))
        for name, limit in (("action_id", 255), ("value", 2000), ("url", 3000)):
            if name in element:
                yield from _length(element[name], limit, f"{where}/{name}")


def _image(block: dict[str, Any], where: str) -> Problems:
    yield from _length(block.get("image_url"), 3000, f"{where}/image_url")
    yield from _length(block.get("alt_text"), 2000, f"{where}/alt_text")


def _markdown(block: dict[str, Any], where: str) -> Problems:
    yield from _length(block.get("text"), MARKDOWN_CHARACTERS_LIMIT, f"{where}/text")


def _divider(_block: dict[str, Any], _where: str) -> Problems:
    yield from ()


_CHECKS: Mapping[object, Callable[[dict[str, Any], str], Problems]] = MappingProxyType(
    {
        "section": _section,
        "header": _header,
        "context": _context,
        "actions": _actions,
        "image": _image,
        "markdown": _markdown,
        "divider": _divider,
    }
)
