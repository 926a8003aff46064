from tests.bench import clients
from tests.bench.__main__ import measure


async def test_every_figure_can_still_be_taken() -> None:
    """The benchmark's short form runs through; what it measures is not judged here."""
    figures = await measure(short=True)
    assert [figure.what for figure in figures] == [
        "one decision with 1,000 rules for 50 events",
        "2xx to trigger, p50 / p99",
        "a worker with 200 executions in flight",
        "Redis after 200 executions, with deliveries, bodies and notifications",
        "an accept that records why 3 rules run",
        "an accept that records why 10 rules run",
        "check of 20 rules with 3 tests each",
    ]


async def test_what_slow_clients_cost_can_still_be_taken() -> None:
    """The short form of it runs through; only that all of them were cut is judged here."""
    figures = await clients.measure(short=True)
    assert [figure.what.split(",")[0] for figure in figures] == [
        "50 half heads",
        "20 half bodies",
        "/livez p99 meanwhile",
        "20 MB in chunks: 413",
        "/livez p99 meanwhile",
        "a signed body of 0.9 MB and 300",
    ]
