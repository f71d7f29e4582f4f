"""Many sessions that take turns, of which the ones that come next are known, and then are others."""

import asyncio
import gc
import threading

from running import Call, in_loop, plan_of, untranslated  # noqa: F401

from remotemedia import _drive

SESSIONS, ROUNDS = 12, 6
PAUSE_S = 0.002  # after which a session finds nothing of its own in the cache


def stream():
    nodes = [Call(lambda x: x + 1), Call(lambda x: x + 1)]
    return _drive.Stream(plan_of(*nodes, blocking=False), ["feed"], ["out"])


async def opened(count):
    streams = [stream() for _ in range(count)]
    for one in streams:
        await one.__aenter__()
    return streams


async def closed(*streams):
    for one in streams:
        await one.__aexit__(None, None, None)


async def take_turns(streams, rounds=ROUNDS):
    for number in range(rounds):
        for i, one in enumerate(streams):
            await one.push("feed", 100 * i + number)
        for i, one in enumerate(streams):
            assert await one.pull("out") == 100 * i + number + 2
        await asyncio.sleep(PAUSE_S)


def test_sessions_in_the_same_order_each_round():
    async def main():
        streams = await opened(SESSIONS)
        await take_turns(streams)
        await closed(*streams)

    in_loop(main())


def test_sessions_in_another_order_each_round():
    async def main():
        streams = await opened(SESSIONS)
        for step in (1, 5, 7, 11):
            await take_turns([streams[i * step % SESSIONS] for i in range(SESSIONS)], 2)
        await closed(*streams)

    in_loop(main())


def test_sessions_that_end_and_go_while_others_expect_them():
    async def main():
        streams = await opened(SESSIONS)
        await take_turns(streams)
        while len(streams) > 1:
            await closed(streams.pop(len(streams) // 2), *streams[:1])
            del streams[:1]
            gc.collect()
            streams += await opened(1)
            await take_turns(streams, 3)
        await closed(*streams)

    in_loop(main())


def test_sessions_of_two_loops_take_turns():
    done = []

    async def main():
        streams = await opened(SESSIONS)
        await take_turns(streams)
        await closed(*streams)
        done.append(True)

    threads = [threading.Thread(target=lambda: in_loop(main())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 2
