"""Pipecat's side of voice.py and realtime.py: voice_pipecat.py idle | interrupt | realtime COUNT."""

import asyncio
import importlib.metadata
import sys
import time

from loguru import logger
from pipecat.frames.frames import EndFrame, InterruptionFrame, OutputAudioRawFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.workers.runner import WorkerRunner
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


class Pass(FrameProcessor):
    """Pushes on what it gets."""

    async def process_frame(self, frame, direction):
        """Push the frame."""
        await super().process_frame(frame, direction)
        await self.push_frame(frame, direction)


class Sink(FrameProcessor):
    """Takes its time for each frame, and notes an interrupt."""

    def __init__(self, pace_s=0.0):
        super().__init__()
        self.count, self.interrupted_at, self.pace_s = 0, None, pace_s

    async def process_frame(self, frame, direction):
        """Check the frame and wait."""
        await super().process_frame(frame, direction)
        if isinstance(frame, InterruptionFrame):
            self.interrupted_at = time.perf_counter()
        elif isinstance(frame, OutputAudioRawFrame):
            if self.interrupted_at is None and frame.pts != self.count:
                fail(f"frame {frame.pts} came where {self.count} was due")
            if frame.audio != PCM:
                fail("samples lost")
            self.count += 1
            await asyncio.sleep(self.pace_s)
        await self.push_frame(frame, direction)


def frame_of(number):
    """Return a frame."""
    frame = OutputAudioRawFrame(audio=PCM, sample_rate=16000, num_channels=1)
    frame.pts = number
    return frame


async def started(count, end=Sink):
    """Start so many pipelines; return the workers, their ends and the task that runs them."""
    ends = [end() for _ in range(count)]
    workers = [
        PipelineWorker(Pipeline([*(Pass() for _ in range(5)), end]), idle_timeout_secs=None, enable_rtvi=False,
                       enable_turn_tracking=False)
        for end in ends
    ]  # fmt: skip
    ready = []
    for worker in workers:
        event = asyncio.Event()
        ready.append(event)

        @worker.event_handler("on_pipeline_started")
        async def on_started(_worker, _frame, event=event):
            event.set()

    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(*workers)
    task = asyncio.create_task(runner.run())
    for event in ready:
        await event.wait()
    return workers, ends, task


async def stopped(workers, task):
    """Stop them."""
    for worker in workers:
        await worker.queue_frame(EndFrame())
    await asyncio.wait_for(task, 60)


async def idle():
    """What an idle pipeline takes."""
    workers, _, task = await started(WARM)
    await stopped(workers, task)
    before, begin = rss_kib(), time.perf_counter()
    workers, ends, task = await started(MEASURED)
    start_s = time.perf_counter() - begin
    held = rss_kib() - before
    await workers[-1].queue_frame(frame_of(0))
    while ends[-1].count == 0:
        await asyncio.sleep(0)
    begin = time.perf_counter()
    await stopped(workers, task)
    stop_s = time.perf_counter() - begin
    tell(kib=held / MEASURED, start_stop_ms=(start_s + stop_s) / MEASURED * 1e3,
         version=importlib.metadata.version("pipecat-ai"))  # fmt: skip


class Ear(FrameProcessor):
    """The end of a pipeline: notes how late a frame is."""

    def __init__(self, late):
        super().__init__()
        self.late, self.count = late, 0

    async def process_frame(self, frame, direction):
        """Note it."""
        await super().process_frame(frame, direction)
        if isinstance(frame, OutputAudioRawFrame):
            self.late.note(frame.pts)
            if frame.audio != PCM:
                fail("samples lost")
        await self.push_frame(frame, direction)


async def realtime():
    """How late frames are in so many pipelines on one core."""
    count = int(sys.argv[2])
    use_one_core()
    late = Late()
    workers, _, task = await started(count, end=lambda: Ear(late))
    late.begin = time.perf_counter()
    expected = await send_in_time(late, count, lambda i, due: workers[i].queue_frame(frame_of(due)))
    late.tell(expected)
    await stopped(workers, task)


async def barge():
    """Interrupt one pipeline through WAITING frames: the seconds until its end knows."""
    workers, ends, task = await started(1, lambda: Sink(PACE_S))
    for number in range(WAITING):
        await workers[0].queue_frame(frame_of(number))
    while ends[0].count < 2:
        await asyncio.sleep(PACE_S / 2)
    if ends[0].count > WAITING / 2:
        fail(f"{ends[0].count} frames came, the others should wait")
    begin = time.perf_counter()
    await workers[0].queue_frame(InterruptionFrame())
    while ends[0].interrupted_at is None:
        await asyncio.sleep(0)
    await stopped(workers, task)
    return ends[0].interrupted_at - begin


async def interrupt():
    """Interrupt BARGES pipelines."""
    tell(us=median_us([await barge() for _ in range(BARGES)]))


if __name__ == "__main__":
    logger.remove()  # its cost is not what is measured
    asyncio.run({"idle": idle, "interrupt": interrupt, "realtime": realtime}[sys.argv[1]]())
