"""Nodes that sleep, and one that runs an event loop of its own, as sync process() may."""
import asyncio
import threading
import time

from remotemedia import Node, Pipeline


class Sleeps(Node):
    def process(self, number):
        time.sleep(0.002)
        return number, threading.current_thread() is threading.main_thread()


class OwnLoop(Node):
    def process(self, data):
        async def later():
            await asyncio.sleep(0)
            return data[0] * 2
        return asyncio.run(later()), data[1]


async def main():
    print(await Pipeline([Sleeps(), OwnLoop()]).run([1, 2, 3]))


asyncio.run(main())
