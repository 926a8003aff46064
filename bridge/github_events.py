"""Which events GitHub sends, with which actions: for a word of doubt about a rule that waits for another. Pure.

New ones appear at any time, so a name that is not here is doubted, never refused. From the names in the npm package
@octokit/webhooks 14.2.0; https://docs.github.com/en/webhooks/webhook-events-and-payloads
"""

from collections.abc import Iterable

from bridge.suggest import nearest

_TABLE = """
branch_protection_configuration: disabled enabled
branch_protection_rule: created deleted edited
check_run: completed created requested_action rerequested
check_suite: completed requested rerequested
code_scanning_alert: appeared_in_branch closed_by_user created fixed reopened reopened_by_user
commit_comment: created
create
custom_property: created deleted promote_to_enterprise updated
custom_property_values: updated
delete
dependabot_alert: auto_dismissed auto_reopened created dismissed fixed reintroduced reopened
deploy_key: created deleted
deployment: created
deployment_protection_rule: requested
deployment_review: approved rejected requested
deployment_status: created
discussion: answered category_changed closed created deleted edited labeled locked pinned reopened transferred
  unanswered unlabeled unlocked unpinned
discussion_comment: created deleted edited
fork
github_app_authorization: revoked
gollum
installation: created deleted new_permissions_accepted suspend unsuspend
installation_repositories: added removed
installation_target: renamed
issue_comment: created deleted edited
issue_dependencies: blocked_by_added blocked_by_removed blocking_added blocking_removed
issues: assigned closed deleted demilestoned edited labeled locked milestoned opened pinned reopened transferred
  typed unassigned unlabeled unlocked unpinned untyped
label: created deleted edited
marketplace_purchase: cancelled changed pending_change pending_change_cancelled purchased
member: added edited removed
membership: added removed
merge_group: checks_requested destroyed
meta: deleted
milestone: closed created deleted edited opened
org_block: blocked unblocked
organization: deleted member_added member_invited member_removed renamed
package: published updated
page_build
personal_access_token_request: approved cancelled created denied
ping
project: closed created deleted edited reopened
project_card: converted created deleted edited moved
project_column: created deleted edited moved
projects_v2: closed created deleted edited reopened
projects_v2_item: archived converted created deleted edited reordered restored
projects_v2_status_update: created deleted edited
public
pull_request: assigned auto_merge_disabled auto_merge_enabled closed converted_to_draft demilestoned dequeued edited
  enqueued labeled locked milestoned opened ready_for_review reopened review_request_removed review_requested
  synchronize unassigned unlabeled unlocked
pull_request_review: dismissed edited submitted
pull_request_review_comment: created deleted edited
pull_request_review_thread: resolved unresolved
push
registry_package: published updated
release: created deleted edited prereleased published released unpublished
repository: archived created deleted edited privatized publicized renamed transferred unarchived
repository_advisory: published reported
repository_dispatch
repository_import
repository_ruleset: created deleted edited
repository_vulnerability_alert: create dismiss reopen resolve
secret_scanning_alert: assigned created publicly_leaked reopened resolved unassigned validated
secret_scanning_alert_location: created
secret_scanning_scan: completed
security_advisory: published updated withdrawn
security_and_analysis
sponsorship: cancelled created edited pending_cancellation pending_tier_change tier_changed
star: created deleted
status
sub_issues: parent_issue_added parent_issue_removed sub_issue_added sub_issue_removed
team: added_to_repository created deleted edited removed_from_repository
team_add
watch: started
workflow_dispatch
workflow_job: completed in_progress queued waiting
workflow_run: completed in_progress requested
"""
FREE_ACTIONS = frozenset({"repository_dispatch"})
"""Whoever sends these chooses the action."""


def _read(table: str) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for line in table.replace("\n  ", " ").split("\n"):
        event, _, actions = line.partition(":")
        if event:
            found[event] = frozenset(actions.split())
    return found


EVENTS = _read(_TABLE)
"""Event -> its actions; none: it has no action."""


def doubt(name: str) -> str | None:
    """Say why no event is called this, as far as is known; None: one may be."""
    event, _, action = name.partition(".")
    if name == "ping":
        return "GitHub's ping says that the webhook is set up; it starts nothing"
    if event not in EVENTS:
        known = [*EVENTS, *(f"{one}.{of}" for one, actions in EVENTS.items() for of in actions)]
        return f"GitHub is not known to send {name!r}{_suggestion(name, known)}"
    if not action or event in FREE_ACTIONS or action in EVENTS[event]:
        return None
    if not EVENTS[event]:
        return f"GitHub's {event!r} has no actions: write `{event}`"
    close = _suggestion(action, EVENTS[event])
    listed = close or f"; there are: {', '.join(sorted(EVENTS[event]))}"
    return f"GitHub's {event!r} is not known to have the action {action!r}{listed}"


def _suggestion(name: str, known: Iterable[str]) -> str:
    close = nearest(name, known)
    return "" if close is None else f": did you mean {close!r}?"
