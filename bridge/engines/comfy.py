"""Comfy Cloud: fills a ComfyUI workflow's inputs and runs it, over its first API or the versioned second one.

v1: https://docs.comfy.org/development/cloud/api-reference; v2: https://docs.comfy.org/api-reference/v2/overview
"""

import asyncio
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urljoin
from uuid import UUID, uuid5

import msgspec
from msgspec import structs

from bridge import comfy_answers
from bridge.addresses import Guard, base_url, networks, origin
from bridge.answers import json_object
from bridge.comfy_dialects import JSON, V1, V2, signed, where
from bridge.comfy_live import Live
from bridge.comfy_template import ComfyTemplate, filled_in, problems
from bridge.comfy_uploads import Fetched, fetch
from bridge.contracts import Engine
from bridge.errors import Ambiguous, AttemptError, Blocked, Permanent, Throttled, Transient
from bridge.model import Progress
from bridge.outbound import Answer, Outbound
from bridge.rules import Template
from bridge.runs import AtLeastOne, Budget, Complaint, Order, Snapshot, Started
from bridge.secret import Secret

_TRIGGER_SECONDS = 30.0
_UPLOAD_SECONDS = 60.0
_FETCH_SECONDS = 10.0
_MAX_ANSWER_BYTES = 10_000_000
_MAX_ID_CHARACTERS = 200
_SHUT_EYES_SECONDS = 60.0
_KEYS = UUID("5b0d2a5e-5f0c-5f5c-9d2b-3b7f4f0f6c11")
"""The namespace of our idempotency keys."""
_TAKEN = "idempotency_key_reuse"


class ComfyBudget(Budget, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a subscription runs at once: Standard 1, Creator 3, Pro 5. What is beyond that would wait at Comfy."""

    at_once: AtLeastOne | None = 1
    """Runs that have begun and not ended: 1, 3 or 5, as the subscription has it."""


class Comfy(Engine, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="comfy"):
    """One account at Comfy Cloud and its API key."""

    template = ComfyTemplate

    api_key: Secret
    """The key, of platform.comfy.org."""
    api: Literal["v1", "v2"] = "v1"
    """Which of its two APIs is spoken; v2 makes a trigger whose answer got lost repeatable."""
    base_url: str = "https://cloud.comfy.org"
    """Where its API is."""
    partner_key: Secret | None = None
    """The key for Partner Nodes, where it is not the same."""
    live: bool = True
    """Whether progress is heard over v1's WebSocket, which wants the key in its URL; v2 tells it anyway."""
    allow_hosts: tuple[str, ...] = ()
    """The only hosts files are uploaded from, such as *.example.com; give them where URLs come from events."""
    allow_cidrs: tuple[str, ...] = ()
    """Private networks files may be uploaded from; without them, public addresses only."""
    allow_http: bool = False
    """Whether files may be fetched without TLS."""
    budget: ComfyBudget = ComfyBudget()

    def __post_init__(self) -> None:
        """Refuse a base URL that paths cannot be appended to, and networks that are none."""
        base_url(self.base_url)
        networks(self.allow_cidrs)

    def credentials(self) -> tuple[str, ...]:
        """Return the key, and where it is one."""
        return base_url(self.base_url), self.api_key.text()

    def files(self, template: Template, folder: Path) -> Iterator[Path]:
        """Name the workflow's file; what no file can be called is told as a problem."""
        if "\0" not in template.id:
            yield folder / template.id

    def problems(self, template: Template, folder: Path) -> Iterator[Complaint]:
        """Look into the workflow's file: whether it is one, and has what the variables name, as their defaults want."""
        return problems(template, folder)

    async def prepare(self, outbound: Outbound, order: Order) -> Order:
        """Upload the files that variables name by URL; repeating that is harmless.

        Raises Transient (Throttled) or Permanent (Blocked).
        """
        uploaded = {}
        for name, options in order.variable_options.items():
            if options.get("upload") and order.variables.get(name):
                guard = Guard(
                    allow_hosts=tuple(host.lower() for host in self.allow_hosts),
                    allow_cidrs=networks(self.allow_cidrs),
                    allow_http=self.allow_http,
                )
                uploaded[name] = await self._upload(outbound, await fetch(outbound, order.variables[name], guard))
        return structs.replace(order, prepared=uploaded) if uploaded else order

    async def trigger(self, outbound: Outbound, order: Order, not_after: float) -> Started:
        """Submit the workflow with the variables in their places.

        v1 has no idempotency key, so there what is ambiguous stays so. Raises Transient (Throttled), Permanent
        (Blocked) or Ambiguous.
        """
        graph = await asyncio.to_thread(filled_in, order)
        body: dict[str, Any] = {self._api.graph: graph}
        if order.options.get("partner_nodes"):
            body["extra_data"] = {"api_key_comfy_org": (self.partner_key or self.api_key).text()}
        content = msgspec.json.encode(body)
        if self.api == "v2":
            started = await self._submit_once(outbound, content, order.key, not_after)
        else:
            started = self._started(await self._submit(outbound, content, {}, not_after))
        return structs.replace(started, progress=Progress(0, len(graph)))

    async def _submit_once(self, outbound: Outbound, content: bytes, key: str, not_after: float) -> Started:
        """Submit under a key that Comfy takes once: so what is not known may be sent again, and what is taken stays."""
        headers = {"idempotency-key": str(uuid5(_KEYS, key))}
        try:
            return self._started(await self._submit(outbound, content, headers, not_after))
        except Ambiguous as error:
            first = str(error)
        try:
            return self._started(await self._submit(outbound, content, headers, None))
        except AttemptError as error:
            # Only that it has begun now says anything of the first.
            raise Ambiguous(f"{first}; sent again under the same key: {error}") from None

    async def _submit(
        self, outbound: Outbound, content: bytes, headers: Mapping[str, str], not_after: float | None
    ) -> Answer:
        return await outbound.request(
            "POST",
            base_url(self.base_url) + self._api.submit,
            headers={**self._headers(), "content-type": JSON, **headers},
            content=content,
            timeout_seconds=_TRIGGER_SECONDS,
            max_bytes=_MAX_ANSWER_BYTES,
            fresh=True,
            not_after=not_after,
        )

    def _started(self, answer: Answer) -> Started:
        """Read the answer to a submission."""
        found, words = json_object(answer), self._words(answer)
        job, complaint = found.get(self._api.job_id), found.get("node_errors") or found.get("error")
        if not 200 <= answer.status < 300:  # noqa: PLR2004 - success
            raise self._refused(answer)
        if isinstance(job, str) and 0 < len(job) <= _MAX_ID_CHARACTERS:
            # v1 runs the outputs that can be made, and complains of the others.
            return Started(remote_id=job, reason=f"not all of the workflow is run: {words}" if complaint else None)
        if complaint:
            raise Permanent(words)  # v1's refusal with status 200
        raise Ambiguous(f"{words} - it names no job, so whether one began is not known")

    def repeatable(self, order: Order) -> bool:  # noqa: ARG002 - whatever it is
        """Whether a trigger may be sent again while nobody knows of the first."""
        return self.api == "v2"

    async def fetch(self, outbound: Outbound, remote_id: str) -> Snapshot:
        """Ask how a job is.

        Raises Permanent when Comfy does not know the job, Transient (Throttled) for everything that is no answer.
        """
        try:
            answer = await self._get(outbound, self._api.job(remote_id), self._headers())
        except Permanent as error:
            raise Transient(str(error)) from None
        if answer.status != 200:  # noqa: PLR2004 - OK
            raise self._no_answer(answer)
        seen = self._api.read(answer, self._hide)
        if self.api == "v1" and self.live:
            return structs.replace(seen, done=self._live(outbound).done(remote_id))
        return seen

    async def cancel(self, outbound: Outbound, remote_id: str) -> str:
        """End a job that nobody waits for any more; with v1 only one that still waits."""
        path, content = self._api.cancel(remote_id)
        answer = await self._post(outbound, path, content, JSON, _FETCH_SECONDS)
        if answer.status != 200:  # noqa: PLR2004 - OK
            raise self._no_answer(answer)
        return self._api.cancelled(answer, remote_id)

    async def locate(self, outbound: Outbound, reference: str) -> str:
        """Have a URL signed at which anybody can have a file; raises as `fetch` does."""
        api, path = where(reference)
        answer = await self._get(outbound, path, api.headers(self.api_key.text()))
        found = signed(answer)
        if found:
            return self._public(found)
        if answer.status in (400, 404, 410):
            raise Permanent(f"{self._words(answer)} - the file is gone, or was never there")
        raise self._no_answer(answer)

    async def probe(self, outbound: Outbound) -> str | None:
        """Ask for a job that cannot exist: whoever is told so has a good key."""
        answer = await self._get(outbound, self._api.job(str(UUID(int=0))), self._headers())
        if answer.status in (200, 404):
            return None
        hint = "check api_key and the subscription" if answer.status in (401, 402, 403) else "check base_url, or wait"
        return f"{self._words(answer)} - {hint}"

    async def _upload(self, outbound: Outbound, file: Fetched) -> Any:
        """Return what stands for the file in the workflow."""
        path, kind, content = self._api.upload(file)
        answer = await self._post(outbound, path, content, kind, _UPLOAD_SECONDS)
        named = self._api.uploaded(answer, file) if answer.status in (200, 201) else None
        if named is not None:
            return named
        refused = self._refused(answer)
        raise Transient(f"the file could not be uploaded: {refused}") if isinstance(refused, Ambiguous) else refused

    async def _get(self, outbound: Outbound, path: str, headers: Mapping[str, str]) -> Answer:
        url = base_url(self.base_url) + path
        try:
            return await outbound.request(
                "GET", url, headers=headers, timeout_seconds=_FETCH_SECONDS, max_bytes=_MAX_ANSWER_BYTES
            )
        except Ambiguous as error:
            raise Transient(str(error)) from None  # a question may be asked twice

    async def _post(
        self, outbound: Outbound, path: str, content: bytes | None, kind: str, timeout_seconds: float
    ) -> Answer:
        try:
            return await outbound.request(
                "POST",
                base_url(self.base_url) + path,
                headers={**self._headers(), "content-type": kind},
                content=content,
                timeout_seconds=timeout_seconds,
                max_bytes=_MAX_ANSWER_BYTES,
            )
        except Ambiguous as error:
            raise Transient(str(error)) from None  # whoever calls this may do it twice

    def _refused(self, answer: Answer) -> AttemptError:
        """Sort an answer that is no success to something that was asked for: by its status, and 429 by its code."""
        words, asked, status = self._words(answer), answer.retry_after(time.time()), answer.status
        if 300 <= status < 400:  # noqa: PLR2004 - redirects
            return Permanent(f"{words} - a redirect is never followed with a key: check base_url")
        # v1's own 429 is "User has not paid" and "Subscription inactive"; only one that names a time is about pace.
        unpaid = self.api == "v1" and status == 429 and asked is None  # noqa: PLR2004
        if unpaid or status in (401, 402, 403):
            return Blocked(words)
        if status == 429:  # noqa: PLR2004 - refused before any work
            return Throttled(words, asked)
        if status == 503 and asked is not None:  # noqa: PLR2004 - refused before any work
            return Transient(words, asked)
        if comfy_answers.code_of(answer) == _TAKEN:
            return Ambiguous(f"{words} - taken before, and Comfy does not say as which job: look among its jobs")
        return Permanent(words) if 400 <= status < 500 else Ambiguous(words)  # noqa: PLR2004

    def _no_answer(self, answer: Answer) -> AttemptError:
        words, asked, status = self._words(answer), answer.retry_after(time.time()), answer.status
        if status == 429:  # noqa: PLR2004 - too many
            return Throttled(words, asked)
        if status == 404:  # noqa: PLR2004 - no such job
            return Permanent(words)
        return Transient(words, asked or (None if status >= 500 else _SHUT_EYES_SECONDS))  # noqa: PLR2004

    def _public(self, found: str) -> str:
        """Return where a file is, as anybody may see it; raises Permanent for what would need, or show, the key."""
        try:
            url = urljoin(f"{base_url(self.base_url)}/", found)
            plain = origin(url)[0] == "http" and not self.base_url.startswith("http:")
        except ValueError as error:
            raise Permanent(f"Comfy says the file is somewhere that cannot be used: {error}") from None
        if plain or self._hide(url) != url:
            raise Permanent("Comfy says the file is somewhere that would not be safe to show")
        return url

    def _live(self, outbound: Outbound) -> Live:
        url, key = base_url(self.base_url), self.api_key.text()
        return outbound.beside(("comfy", url, key), lambda tls: Live(url, key, tls))

    @property
    def _api(self) -> V1 | V2:
        return V2() if self.api == "v2" else V1()

    def _headers(self) -> dict[str, str]:
        return self._api.headers(self.api_key.text())

    def _words(self, answer: Answer) -> str:
        return comfy_answers.words(answer, self._hide)

    def _hide(self, text: str) -> str:
        text = self.api_key.hide(text)
        return text if self.partner_key is None else self.partner_key.hide(text)
