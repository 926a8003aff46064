"""What the storm does to Redis and to the connections to it, and to each end's answers."""

import asyncio
import random

from bridge.emulators.exchange import Answer, Scripted
from bridge.emulators.faults import Fault
from tests.chaos.valkey import Valkey
from tests.journey.fault_proxy import FaultProxy

TRIGGER_FAULTS = (
    Fault("drop_before_run"),
    Fault("drop_before_run", reset=True),
    Fault("drop_after_run"),
    Fault("drop_after_run", reset=True),
    Fault("delay", seconds=2.5),
    Fault("gateway_502"),
    Fault("gateway_502", runs=True),
    Fault("bare_500"),
    Fault("unavailable_503", retry_after="1"),
    Fault("too_many_429", retry_after="1"),
    Fault("success_false"),
    Fault("truncated_body"),
    Fault("truncated_json"),
    Fault("error", error="not_strings"),
    Fault("redirect"),
)
FETCH_FAULTS = (
    Fault("drop_before_run"),
    Fault("delay", seconds=2.5),
    Fault("gateway_502"),
    Fault("bare_500"),
    Fault("unavailable_503", retry_after="1"),
    Fault("too_many_429", retry_after="1"),
    Fault("truncated_body"),
    Fault("truncated_json"),
)
CALLBACK_FAULTS = (
    Scripted(answer=Answer(status=500)),
    Scripted(answer=Answer(status=503, headers={"retry-after": "1"})),
    Scripted(answer=Answer(status=302, headers={"location": "/elsewhere"})),
    Scripted(answer=Answer(drop="close")),
    Scripted(answer=Answer(drop="reset")),
    Scripted(answer=Answer(status=204, delay_seconds=2.5)),
)
NO_FAULT = Fault("delay", seconds=0)
NO_CALLBACK_FAULT = Scripted(answer=Answer(status=204))

REDIS_BLOWS = {"SIGKILL": 4, "power loss": 0, "READONLY": 1, "full memory": 1}
"""Each with its share."""
NETWORK_BLOWS = {"black hole": 2, "latency": 2, "cut": 2, "cut at EXEC": 1, "cut at EVALSHA": 1}


async def strike_redis(valkey: Valkey, blow: str, away: float, dice: random.Random) -> None:
    """Deal one blow to the server; it is as it was when this returns, `away` seconds later."""
    if blow == "READONLY":
        valkey.ask("REPLICAOF 127.0.0.1 1")
        await asyncio.sleep(away)
        valkey.ask("REPLICAOF NO ONE")
    elif blow == "full memory":
        valkey.ask("CONFIG SET maxmemory 1")
        await asyncio.sleep(away)
        valkey.ask("CONFIG SET maxmemory 0")
    else:
        if blow == "power loss":
            valkey.lose_power(dice)
        else:
            valkey.kill()
        await asyncio.sleep(away)
        await asyncio.to_thread(valkey.start)


async def strike_network(proxy: FaultProxy, blow: str, dice: random.Random) -> None:
    """Deal one blow to one process's connections to Redis; they are as they were when this returns."""
    if blow == "black hole":
        proxy.swallow()
        await asyncio.sleep(dice.uniform(0.5, 4))
        proxy.pass_on()
    elif blow == "latency":
        proxy.latency_seconds = dice.uniform(0.02, 0.3)
        await asyncio.sleep(dice.uniform(0.5, 3))
        proxy.pass_on()
    elif blow == "cut":
        proxy.cut()
    else:
        proxy.cut_after = dice.random() < 0.5
        proxy.cut_at = blow.removeprefix("cut at ").encode()
