"""Messages as a person sees them in Slack: Block Kit drawn as HTML, for the emulator's page, tests and pictures.

https://docs.slack.dev/reference/block-kit/blocks. Whatever stands in a message is text: nothing in it can run here.
"""

from collections.abc import Callable, Iterable, Mapping
from html import escape
from typing import Any

from bridge.emulators.slack_messages import Message
from bridge.emulators.slack_mrkdwn import Reader, html, moment, plain

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src https: data:"
"""The Content-Security-Policy of a page."""
APP = "genesis-bridge"

_CSS = """
* { box-sizing: border-box }
body { margin: 0; background: #fff; color: #1d1c1d; font: 15px/1.47 Lato, "Noto Sans", "DejaVu Sans", sans-serif }
main { max-width: 42em; padding: 1em }
h2 { margin: .6em 0; font-size: 18px }
article { display: grid; grid-template-columns: 36px 1fr; gap: 8px; padding: 6px 0 }
.thread { margin: 4px 0 8px 44px; padding-left: 10px; border-left: 3px solid #ddd }
.face { width: 36px; height: 36px; border-radius: 6px; background: #4a154b; color: #fff; font-weight: bold;
  display: grid; place-items: center }
.who { font-weight: 900 }
.app { margin: 0 .4em; padding: 0 3px; border-radius: 2px; background: #eee; color: #616061; font-size: 10px;
  font-weight: bold; vertical-align: 1px }
.when, .note { color: #616061; font-size: 12px }
.section { display: flex; justify-content: space-between; gap: 1em; margin: 2px 0 4px; overflow-wrap: anywhere }
.fields { display: grid; grid-template-columns: 1fr 1fr; gap: 4px 16px; margin: 4px 0 }
.fields > *, .section > * { min-width: 0; overflow-wrap: anywhere }
.context { display: flex; flex-wrap: wrap; gap: 8px; margin: 3px 0; color: #616061; font-size: 13px }
.context img { width: 20px; height: 20px }
.actions { display: flex; flex-wrap: wrap; gap: 8px; margin: 6px 0 }
button, .button { padding: 3px 12px; border: 1px solid #bbb; border-radius: 4px; background: #fff; color: #1d1c1d;
  font: inherit; font-size: 13px; font-weight: bold; text-decoration: none }
.primary { border-color: #007a5a; background: #007a5a; color: #fff }
.danger { border-color: #e01e5a; color: #e01e5a }
h3 { margin: 4px 0; font-size: 18px }
hr { border: 0; border-top: 1px solid #ddd; margin: 10px 0 }
a { color: #1264a3; text-decoration: none }
code, pre { border: 1px solid #ddd; border-radius: 4px; background: #f8f8f8; font-size: 12px }
code { padding: 1px 3px; color: #e01e5a }
pre { margin: 4px 0; padding: 8px; white-space: pre-wrap; overflow-wrap: anywhere }
blockquote { margin: 4px 0; padding-left: 12px; border-left: 4px solid #ddd }
figure { margin: 4px 0 } img { max-width: 100% }
.mention { border-radius: 3px; background: #e8f5fa; color: #1264a3 }
"""

Block = Mapping[str, Any]


def page(messages: Iterable[Message], reader: Reader, *, refresh_seconds: int = 0) -> str:
    """Draw channels with their messages, threads under what began them, as a whole page."""
    shown = list(messages)
    channels = "".join(_channel(name, shown, reader) for name in dict.fromkeys(one.channel for one in shown))
    again = f'<meta http-equiv="refresh" content="{refresh_seconds}">' if refresh_seconds else ""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Slack (emulated)</title>{again}'
        f"<style>{_CSS}</style></head><body><main>{channels or '<p>No messages yet.</p>'}</main></body></html>"
    )


def drawn(message: Message, reader: Reader) -> str:
    """Draw one message, as the app's own."""
    edited = ' <span class="note">(edited)</span>' if message.edits else ""
    alone = '<div class="note">Only visible to you</div>' if message.ephemeral else ""
    shown = "".join(_block(block, reader) for block in message.blocks or [])
    at = moment(float(message.ts), "time", reader)
    return (
        f'<article aria-label="{plain(message.text)}"><div class="face" aria-hidden="true">g</div><div>'
        f'<span class="who">{APP}</span><span class="app">APP</span> <span class="when">{plain(at)}</span>'
        f"{alone}{shown or _text({'type': 'mrkdwn', 'text': message.text}, reader)}{edited}</div></article>"
    )


def _channel(name: str, messages: list[Message], reader: Reader) -> str:
    here = [one for one in messages if one.channel == name]
    known = {one.ts for one in here}
    parts = [f"<section><h2>{plain('#' + reader.names.get(name, name))}</h2>"]
    for message in here:
        if message.thread_ts not in known:
            # The thread's first message is somebody's, and so not among ours.
            drawn_here = drawn(message, reader)
            parts.append(f'<div class="thread">{drawn_here}</div>' if message.thread_ts else drawn_here)
            replies = "".join(drawn(one, reader) for one in here if one.thread_ts == message.ts)
            parts.append(f'<div class="thread">{replies}</div>' if replies else "")
    return "".join([*parts, "</section>"])


def _block(block: Block, reader: Reader) -> str:
    draw = _BLOCKS.get(str(block.get("type")))
    return f'<p class="note">[{plain(str(block.get("type")))}]</p>' if draw is None else draw(block, reader)


def _text(text: Block, reader: Reader) -> str:
    written = str(text.get("text", ""))
    shown = html(written, reader) if text.get("type") == "mrkdwn" else escape(written).replace("\n", "<br>")
    return f"<span>{shown}</span>"


def _section(block: Block, reader: Reader) -> str:
    text = _text(block["text"], reader) if "text" in block else ""
    beside = _element(block["accessory"], reader) if "accessory" in block else ""
    fields = "".join(_text(field, reader) for field in block.get("fields", []))
    return (f'<div class="section">{text}{beside}</div>' if text or beside else "") + (
        f'<div class="fields">{fields}</div>' if fields else ""
    )


def _context(block: Block, reader: Reader) -> str:
    return f'<div class="context">{"".join(_element(one, reader) for one in block["elements"])}</div>'


def _actions(block: Block, reader: Reader) -> str:
    return f'<div class="actions">{"".join(_element(one, reader) for one in block["elements"])}</div>'


def _element(element: Block, reader: Reader) -> str:
    match element.get("type"):
        case "button":
            return _button(element, reader)
        case "image":
            return _picture(element)
        case "mrkdwn" | "plain_text":
            return _text(element, reader)
        case other:
            return f'<span class="note">[{plain(str(other))}]</span>'


def _button(button: Block, reader: Reader) -> str:
    style, said = plain(str(button.get("style", ""))), _text(button["text"], reader)
    asks = f' title="{plain(str(button["confirm"]["text"]["text"]))}"' if "confirm" in button else ""
    url = str(button.get("url", ""))
    if url.startswith(("https://", "http://")):
        return f'<a class="button {style}" role="button" href="{plain(url)}" rel="noreferrer"{asks}>{said}</a>'
    return f'<button type="button" class="{style}"{asks}>{said}</button>'


def _picture(image: Block) -> str:
    return f'<img alt="{plain(str(image.get("alt_text", "")))}" src="{plain(str(image.get("image_url", "")))}">'


def _image(block: Block, reader: Reader) -> str:
    title = f"<figcaption>{_text(block['title'], reader)}</figcaption>" if "title" in block else ""
    return f"<figure>{title}{_picture(block)}</figure>"


_BLOCKS: Mapping[str, Callable[[Block, Reader], str]] = {
    "section": _section,
    "context": _context,
    "actions": _actions,
    "header": lambda block, reader: f"<h3>{_text(block['text'], reader)}</h3>",
    "divider": lambda *_: "<hr>",
    "image": _image,
    "markdown": lambda block, _: f"<pre>{escape(str(block.get('text', '')))}</pre>",
}
