import asyncio
import gc

from bridge.tasks import end


async def test_a_task_that_swallows_its_cancellation_is_ended_all_the_same() -> None:
    """Cancelling goes on until the task is done."""
    swallowed = 0

    async def stubborn() -> None:
        nonlocal swallowed
        while swallowed < 2:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                swallowed += 1
        await asyncio.sleep(60)

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    await end(task)
    assert task.cancelled()
    assert swallowed == 2


async def test_a_failure_it_ended_with_is_not_reported_as_forgotten() -> None:
    """Else asyncio logs an error later, about something that was ended on purpose."""
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))

    async def fails() -> None:
        raise ConnectionError

    task = asyncio.create_task(fails())
    await asyncio.wait({task})
    await end(task)
    del task
    gc.collect()
    assert reported == []
