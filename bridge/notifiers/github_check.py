"""GitHub check runs: a page beside a commit, with outputs and a Re-run button, from a GitHub App only.

https://docs.github.com/en/rest/checks/runs
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated, Any, ClassVar
from urllib.parse import quote

import msgspec
from msgspec import Meta, Struct

from bridge import github_reports
from bridge.addresses import base_url
from bridge.github_api import PER_PAGE, ask, page
from bridge.github_app import App, Place, check_key
from bridge.github_notifier import NUMBER, OnCommit, ShortName, id_in
from bridge.model import Execution, Message, Press
from bridge.outbound import Outbound
from bridge.paths import at
from bridge.secret import Secret

_MOST_PAGES = 10
"""A suite takes 1,000 runs of one name."""
_AppId = Annotated[int, Meta(ge=1, description="an App's id, as its settings show it")]


class _Run(Struct, frozen=True):
    """A check run, as far as it matters here."""

    id: int
    external_id: str | None
    status: str


class _Runs(Struct, frozen=True):
    """A page of check runs."""

    check_runs: list[_Run]


class GitHubCheck(OnCommit, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="github_check"):
    """A check run of a GitHub App, for GitHub takes them from nobody else."""

    living: ClassVar[bool] = True

    app_id: _AppId
    """The App's id; it needs checks: write."""
    private_key: Secret
    """The App's private key, as GitHub made it (PEM)."""
    name: ShortName = ""
    """How it is called, with what branches require; by default genesis-bridge/ and the rule's name."""

    def __post_init__(self) -> None:
        """Refuse a key that is none as well."""
        super().__post_init__()
        with suppress(LookupError):  # `check` may run where no secret can be read
            try:
                check_key(self.private_key.reveal())
            except ValueError as error:
                raise ValueError(f"the private key ({self.private_key.reference}) cannot be used: {error}") from None

    def address(self, names: Mapping[str, Any]) -> dict[str, str]:
        """Resolve the repository and the commit, and keep the App's installation where the event names it."""
        found, installation = super().address(names), str(at(names.get("body"), "installation.id"))
        return {**found, "installation": installation} if NUMBER.fullmatch(installation) else found

    async def allows(self, outbound: Outbound, press: Press, user: str, now: float) -> str | None:  # noqa: ARG002
        """Take *Re-run* under a check of its App: GitHub shows it to those who may write, and signs the event."""
        ours = press.action == "again" and press.value == f"app {self.app_id}"
        return None if ours else "it was not asked for under a check of this App"

    def compose(self, execution: Execution, name: str) -> bytes:  # noqa: ARG002 - nothing in it is pressed
        """Write the check run."""
        return msgspec.json.encode(
            github_reports.check_run(execution, self.name, self.said(execution), self.said_fields(execution))
        )

    async def probe(self, outbound: Outbound) -> str | None:
        """Ask whose key it is."""
        return await self._app().probe(outbound)

    async def send(self, outbound: Outbound, message: Message) -> str:
        """Change the execution's check run, or make it where there is none; raises as `github_api.ask` does."""
        place = Place(message.address["repo"], message.address.get("installation", ""))
        content = msgspec.json.decode(message.body)
        over = content["status"] == github_reports.CHECK_COMPLETED
        url = f"{self.url(message.address)}/check-runs"

        async def tell(token: str) -> int:
            known = await self._known(outbound, token, message, content)
            if known is not None and (over or not known[1]):
                changed = await ask(
                    outbound, token, "PATCH", f"{url}/{known[0]}", content, now=message.now, repeatable=True
                )
                return id_in(changed)
            # What GitHub has as completed it does not take back: an execution that goes on after all gets another one.
            made = {**content, "head_sha": message.address["sha"]}
            return id_in(await ask(outbound, token, "POST", url, made, now=message.now))

        run = await self._app().as_installed(outbound, place, message.now, tell)
        return f"{run} {github_reports.CHECK_COMPLETED}" if over else str(run)

    async def _known(
        self, outbound: Outbound, token: str, message: Message, content: dict[str, Any]
    ) -> tuple[str, bool] | None:
        """Return the id of the execution's newest check run, and whether it is completed.

        Where no earlier message says so, GitHub is asked: an earlier attempt may have made it and never heard so.
        """
        if message.made is not None:
            run, _, over = message.made.partition(" ")
            return run, bool(over)
        commit = f"{self.url(message.address)}/commits/{message.address['sha']}/check-runs"
        url = f"{commit}?check_name={quote(content['name'], safe='')}&filter=all&app_id={self.app_id}"
        found: list[_Run] = []
        for number in range(1, _MOST_PAGES + 1):
            runs = (await page(outbound, token, url, number, _Runs, now=message.now)).check_runs
            found += [run for run in runs if run.external_id == content["external_id"]]
            if len(runs) < PER_PAGE:
                break
        newest = max(found, key=lambda run: run.id, default=None)
        return None if newest is None else (str(newest.id), newest.status == github_reports.CHECK_COMPLETED)

    def _app(self) -> App:
        return App(self.app_id, self.private_key, base_url(self.api_url))
