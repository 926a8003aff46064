"""The two APIs of Comfy Cloud: where things are asked for, and in what form. Pure."""

from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from bridge import comfy_answers
from bridge.answers import json_object
from bridge.comfy_answers import Hide
from bridge.comfy_uploads import Fetched, form
from bridge.outbound import Answer
from bridge.runs import Snapshot

JSON = "application/json"


class V1:
    """The experimental one, that everybody began with: https://docs.comfy.org/development/cloud/api-reference."""

    graph = "prompt"
    """What the workflow is called in a submission."""
    submit = "/api/prompt"
    job_id = "prompt_id"

    def headers(self, key: str) -> dict[str, str]:
        """Say who asks."""
        return {"x-api-key": key}

    def job(self, job: str) -> str:
        """Return where a job is asked for."""
        return f"/api/jobs/{quote(job, safe='')}"

    def read(self, answer: Answer, hide: Hide) -> Snapshot:
        """Read a job; raises Transient for what is none."""
        return comfy_answers.job_v1(answer, hide)

    def cancel(self, job: str) -> tuple[str, bytes | None]:
        """Return path and body that take back a job which waits: `interrupt` would end whatever runs in the account."""
        return "/api/queue", msgspec.json.encode({"delete": [job]})

    def cancelled(self, answer: Answer, job: str) -> str:
        """Say what came of it."""
        deleted = json_object(answer).get("deleted")
        waited = isinstance(deleted, list) and job in deleted
        return "it was still waiting at Comfy, and has been taken back" if waited else "at Comfy it may still run"

    def upload(self, file: Fetched) -> tuple[str, str, bytes]:
        """Return path, content type and body that upload a file."""
        return "/api/upload/image", *form({"type": "input"}, "image", file)

    def uploaded(self, answer: Answer, file: Fetched) -> Any:  # noqa: ARG002 - it gets another name there
        """Return what stands for the file in a workflow; None: it was not taken."""
        found = json_object(answer)
        name, folder = found.get("name"), found.get("subfolder")
        if not isinstance(name, str) or not name:
            return None
        return f"{folder}/{name}" if isinstance(folder, str) and folder else name


class V2:
    """The versioned one: https://docs.comfy.org/api-reference/v2/overview."""

    graph = "workflow"
    submit = "/api/v2/jobs"
    job_id = "id"

    def headers(self, key: str) -> dict[str, str]:
        """Say who asks."""
        return {"authorization": f"Bearer {key}"}

    def job(self, job: str) -> str:
        """Return where a job is asked for."""
        return f"/api/v2/jobs/{quote(job, safe='')}"

    def read(self, answer: Answer, hide: Hide) -> Snapshot:
        """Read a job; raises Transient for what is none."""
        return comfy_answers.job_v2(answer, hide)

    def cancel(self, job: str) -> tuple[str, bytes | None]:
        """Return path and body that end a job."""
        return f"{self.job(job)}/cancel", None

    def cancelled(self, answer: Answer, job: str) -> str:  # noqa: ARG002 - it is told so, whatever it does
        """Say what came of it."""
        return "Comfy was told to cancel it"

    def upload(self, file: Fetched) -> tuple[str, str, bytes]:
        """Return path, content type and body that upload a file."""
        return "/api/v2/assets", *form({"content_type": file.type, "file_path": file.name}, "file", file)

    def uploaded(self, answer: Answer, file: Fetched) -> Any:
        """Return what stands for the file in a workflow; None: it was not taken."""
        asset = json_object(answer).get("id")
        if not isinstance(asset, str) or not asset:
            return None
        return {"__type": "core/ASSET", "info": {"id": asset, "file_path": file.name}}


def where(reference: str) -> tuple[V1 | V2, str]:
    """Return which API knows a file by this reference, and where it is asked for."""
    file: dict[str, str] = msgspec.json.decode(reference)
    if "asset" in file:
        return V2(), f"/api/v2/assets/{quote(file['asset'], safe='')}"
    return V1(), f"/api/view?{urlencode(file)}"


def signed(answer: Answer) -> str | None:
    """Return the URL that the answer leads to: v1 redirects there, v2 tells it; None: to none."""
    if 300 <= answer.status < 400:  # noqa: PLR2004 - redirects
        return answer.headers.get("location")
    url = json_object(answer).get("url") if answer.status == 200 else None  # noqa: PLR2004 - OK
    return url if isinstance(url, str) else None
