import asyncio

from consul_lock import LostError, aio


async def work() -> None:
    for step in range(1, 101):
        print("step", step)
        await asyncio.sleep(0.1)  # raises CancelledError when the lock is lost


async def main() -> None:
    try:
        async with aio.hold("long-work", auto_renew=True):
            await work()
    except LostError:
        print("lost: stopped")


asyncio.run(main())
