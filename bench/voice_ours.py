"""Our side of voice.py, realtime.py and idle.py: voice_ours.py idle | rest | interrupt | realtime COUNT."""

import asyncio
import sys
import time

from remotemedia import Edge, Node, Pipeline
from rounds import fail
from voice_common import (
    BARGES,
    MEASURED,
    PACE_S,
    PCM,
    WAITING,
    WARM,
    Late,
    median_us,
    rss_kib,
    send_in_time,
    tell,
    use_one_core,
)


class Pass(Node):
    """Gives back what it gets."""

    def process(self, data):
        """Return the frame."""
        return data


class Sink(Node):
    """Takes its time for each frame, and notes an interrupt."""

    def __init__(self):
        super().__init__()
        self.count, self.after, self.interrupted_at = 0, 0, None

    async def process(self, data):
        """Check the frame and wait."""
        number, pcm = data
        if self.interrupted_at is not None:
            self.after += number < WAITING
        elif number != self.count:
            fail(f"frame {number} came where {self.count} was due")
        if pcm != PCM:
            fail("samples lost")
        self.count += 1
        await asyncio.sleep(PACE_S)

    def interrupt(self):
        """Note when it came."""
        self.interrupted_at = time.perf_counter()


def chain():
    """Return five nodes that pass frames on."""
    return Pipeline([Pass() for _ in range(5)])


async def opened(count):
    """Start so many pipelines."""
    sessions = [chain().open() for _ in range(count)]
    for session in sessions:
        await session.__aenter__()
    return sessions


async def closed(sessions):
    """Stop them."""
    for session in sessions:
        await session.__aexit__(None, None, None)


async def idle():
    """What an idle pipeline takes."""
    warm = await opened(WARM)
    await closed(warm)
    before, begin = rss_kib(), time.perf_counter()
    sessions = await opened(MEASURED)
    start_s = time.perf_counter() - begin
    held = rss_kib() - before
    await sessions[-1].push(PCM)
    if await anext(sessions[-1]) != PCM:
        fail("the frame did not come through")
    begin = time.perf_counter()
    await closed(sessions)
    stop_s = time.perf_counter() - begin
    tell(kib=held / MEASURED, start_stop_ms=(start_s + stop_s) / MEASURED * 1e3)


async def rest():
    """Have pipelines that do nothing, until standard input ends."""
    sessions = await opened(MEASURED)
    over = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, over.set)
    print("ready", flush=True)
    await over.wait()
    asyncio.get_running_loop().remove_reader(sys.stdin)
    await closed(sessions)


class Ear(Node):
    """The end of a pipeline: notes how late a frame is."""

    def __init__(self, late):
        super().__init__()
        self.heard = late

    def process(self, data):
        """Note it."""
        due, pcm = data
        self.heard.note(due)
        if pcm != PCM:
            fail("samples lost")


async def realtime():
    """How late frames are in so many pipelines on one core."""
    count = int(sys.argv[2])
    use_one_core()
    late = Late()
    nodes = [[*(Pass() for _ in range(5)), Ear(late)] for _ in range(count)]
    for node in (node for chain in nodes for node in chain):
        node.blocking = False
    sessions = [Pipeline(chain).open() for chain in nodes]
    for session in sessions:
        await session.__aenter__()
    late.begin = time.perf_counter()
    expected = await send_in_time(late, count, lambda i, due: sessions[i].push((due, PCM)))
    late.tell(expected)
    await closed(sessions)


async def barge():
    """Interrupt one pipeline through WAITING frames: the seconds until its end knows, and what came after."""
    sink = Sink()
    nodes = [Pass() for _ in range(5)]
    flow = nodes[0]
    for node in nodes[1:]:
        flow = flow >> node
    pipeline = Pipeline(flow >> Edge(capacity=WAITING) >> sink)
    async with pipeline.open() as session:
        for number in range(WAITING):
            await session.push((number, PCM))
        while sink.count < 2:
            await asyncio.sleep(PACE_S / 2)
        if sink.count > WAITING / 2:
            fail(f"{sink.count} frames came, the others should wait")
        begin = time.perf_counter()
        session.interrupt()
        while sink.interrupted_at is None:
            await asyncio.sleep(0)
        await asyncio.sleep(0.05)
        count = sink.count
        await session.push((WAITING, PCM))
        while sink.count == count:
            await asyncio.sleep(0)
        session.end()
    return sink.interrupted_at - begin, sink.after


async def interrupt():
    """Interrupt BARGES pipelines."""
    done = [await barge() for _ in range(BARGES)]
    tell(us=median_us([seconds for seconds, _ in done]), stale=sum(after for _, after in done))


if __name__ == "__main__":
    modes = {"idle": idle, "rest": rest, "interrupt": interrupt, "realtime": realtime}
    asyncio.run(modes[sys.argv[1]]())
