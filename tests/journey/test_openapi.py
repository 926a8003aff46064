"""What the OpenAPI document says is what happens: schemathesis asks everything it names, well and badly."""

import asyncio
import os
import re
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from hypothesis.strategies import SearchStrategy
from schemathesis import GenerationMode, checks
from schemathesis.specs.openapi import checks as openapi

from bridge.config import load
from bridge.emulators import receiver
from bridge.process import Service
from bridge.settings import Settings
from tests.journey.conftest import API_TOKEN, SECRETS, config_text

EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "40"))
"""For each route; the nightly run asks for more."""
CHECKED = [
    checks.not_a_server_error,
    openapi.status_code_conformance,
    openapi.content_type_conformance,
    openapi.response_headers_conformance,
    openapi.response_schema_conformance,
    openapi.negative_data_rejection,
    openapi.unsupported_method,
]


@pytest.fixture(scope="module")
def served(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run the web half on a loop of its own, for schemathesis asks without one; return its address."""
    path = tmp_path_factory.mktemp("openapi") / "bridge.yaml"
    path.write_text(config_text("http://127.0.0.1:9", "http://127.0.0.1:9", "http://127.0.0.1:9"))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    known = Settings.load({"BRIDGE_PORT": "0", "BRIDGE_API_TOKENS": API_TOKEN})
    service = Service(known, load(path, SECRETS), redis_url, web=True, work=False)
    running = asyncio.run_coroutine_threadsafe(service.run(), loop)
    yield service.url
    loop.call_soon_threadsafe(service.stop)
    running.result(30)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


@pytest.fixture(scope="module")
def known(served: str) -> dict[str, str]:
    """Return what the paths may name that exists."""
    body = b'{"type": "run", "url": "https://example.com", "callback_url": "http://127.0.0.1:9/x"}'
    headers = receiver.relay(body, secret=SECRETS["RELAY_SECRET"], message_id="msg_openapi")
    taken = httpx.post(f"{served}/hooks/relay", content=body, headers=headers).json()
    return {
        "delivery_id": taken["delivery_id"],
        "execution_id": taken["executions"][0]["id"],
        "name": "genesis",
        "source": "relay",
    }


@pytest.mark.parametrize("how", ["well", "about what exists", "badly"])
def test_every_answer_is_documented(served: str, known: dict[str, str], how: str) -> None:
    """No answer of 5xx, none that the document does not name, none of another shape."""
    document = schemathesis.openapi.from_url(f"{served}/schema")
    mode = GenerationMode.NEGATIVE if how == "badly" else GenerationMode.POSITIVE
    asked, statuses = [], set()
    for found in document.get_all_operations():
        operation = found.ok()
        try:
            statuses |= ask(served, operation.as_strategy(mode), known if how == "about what exists" else {})
        except Unsatisfiable:
            continue  # nothing can be sent that this does not take
        asked.append(operation.label)
    assert {"POST /api/executions/{execution_id}/resolve", "GET /api/deliveries"} <= set(asked)
    assert how == "badly" or len(asked) == document.statistic.operations.total
    assert {"well": {200, 404}, "about what exists": {200, 202, 409}, "badly": {400}}[how] <= statuses


def ask(served: str, cases: SearchStrategy[Any], known: dict[str, str]) -> set[int]:
    """Send so many cases, check each answer, and return their statuses."""
    statuses = set()

    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
    @given(case=cases)
    def check(case: Any) -> None:
        case.path_parameters.update({name: value for name, value in known.items() if name in case.path_parameters})
        case.headers["Authorization"] = f"Bearer {API_TOKEN}"
        answer = case.call(base_url=served, timeout=10)
        case.validate_response(answer, checks=CHECKED)
        statuses.add(answer.status_code)

    check()
    return statuses


def test_every_route_of_the_api_needs_a_token(served: str) -> None:
    """The document says so of each, and it is so."""
    paths = httpx.get(f"{served}/schema").json()["paths"]
    asked = 0
    for path, operations in paths.items():
        for method, operation in operations.items():
            if path.startswith("/api/"):
                answer = httpx.request(method, served + re.sub(r"{\w+}", "x", path))
                assert (answer.status_code, operation["security"]) == (401, [{"token": []}]), (method, path)
                assert "401" in operation["responses"]
                asked += 1
            else:
                assert "security" not in operation
    assert asked >= 14
