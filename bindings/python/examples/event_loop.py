# A hundred tasks of one event loop take turns, and the loss of a lock cancels the work under it.
import asyncio

from consul_lock import LostError, aio

done = 0


async def work(number: int) -> None:
    global done
    async with aio.hold("meter", timeout=60) as lock:  # asyncio.timeout and task.cancel() end the wait at once
        before = done
        await asyncio.sleep(0.001)  # raises CancelledError when the lock is lost
        done = before + 1
        if number == 0:
            print(f"in turn, {lock.remaining:.0f} s left")


async def main() -> None:
    try:
        await asyncio.gather(*(work(number) for number in range(100)))
    except LostError as error:
        print(f"stopped: {error}")
    print(f"{done} turns")


asyncio.run(main())
