"""What steps of an execution have in common: how one ends, and how old it is."""

from msgspec import structs

from bridge import outputs
from bridge.model import Status
from bridge.parts import Bridge
from bridge.records import Claim, Step
from bridge.runs import Snapshot


def ended(bridge: Bridge, claim: Claim, step: Step, seen: Snapshot) -> Step:
    """Return a step with the engine's last word on the run, and its outputs as people get them."""
    named = outputs.named(seen.outputs, claim.record.options.get("outputs", {}))
    found, files = outputs.shown(named, bridge.public_url, step.execution.id)
    execution = structs.replace(step.execution, status=seen.status, outputs=found, reason=seen.reason)
    return structs.replace(step, execution=execution, again_seconds=None, note=seen.reason or "", files=files)


def end(claim: Claim, status: Status, reason: str) -> Step:
    """Return the last step of an execution, for a reason of ours."""
    execution = structs.replace(claim.execution, status=status, reason=reason)
    return Step(execution=execution, again_seconds=None, note=reason)


def age_seconds(claim: Claim) -> float:
    """Return how long ago a run began."""
    # The deadline was set at the start, so it tells when that was; pauses for review only make it look younger.
    started_ms = claim.deadline_ms - claim.record.deadline_seconds * 1000
    return max(0.0, (claim.clock.now_ms() - started_ms) / 1000)
