"""What is over takes no room when its time is over; the large form is a row of `make bench`."""

from bridge.store import Store
from tests.bench.memory import lived

EXECUTIONS = 1500


async def test_executions_leave_their_records_and_nothing_else(store: Store) -> None:
    """Memory is what it was plus the records, and what it was when these have expired."""
    left = await lived(store, EXECUTIONS)
    assert (
        {"gb:x:", "gb:d:", "gb:b:", "gb:n:"}
        <= set(left.keys)
        <= {
            *("gb:x:", "gb:d:", "gb:b:", "gb:n:"),
            *("gb:deliveries", "gb:executions", "gb:bell"),
        }
    )
    for kind in ("gb:x:", "gb:d:", "gb:b:", "gb:n:"):
        assert left.keys[kind] == EXECUTIONS
    assert abs(left.bytes_after - left.bytes_before - left.bytes_of_records) < left.bytes_of_records / 5
    # The server gives its hash tables back by and by.
    assert left.bytes_expired - left.bytes_before < left.bytes_of_records / 20
