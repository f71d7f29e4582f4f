#!/usr/bin/env python3
"""A two-way session, as the handler of a web socket would use it.

    python examples/voice_session.py

The client sends lines; each is answered by sound, word by word. "stop" is a barge-in: what has not
been said yet is dropped, and the next line is answered at once.

    socket ──lines──▶ push ──▶ answer ──▶ tts ──▶ async for ──sound──▶ socket
                      interrupt ──▶ all behind "answer" forgets what is queued
"""

import asyncio
import math

from remotemedia import Audio, Node, Pipeline

RATE_HZ = 16000
WORD_S = 0.2


class Answer(Node):
    """Stands for a language model: a stream of words for each line."""

    async def process(self, line):
        for word in f"you said {line}".split():
            await asyncio.sleep(0)  # a model would be waited for here
            yield word


class Speak(Node):
    """Stands for a speech synthesizer: a tone for each word, as long as the word takes to say."""

    def __init__(self, hold_s=0.0, **kwargs):
        super().__init__(**kwargs)
        self.hold_s = hold_s

    async def process(self, word):
        import numpy as np

        await asyncio.sleep(self.hold_s)
        pitch_hz = 200 + sum(map(ord, word)) % 200
        time = np.arange(int(WORD_S * RATE_HZ), dtype=np.float32) / RATE_HZ
        tone = (0.3 * np.sin(2 * math.pi * pitch_hz * time)).astype(np.float32)
        return Audio(tone.reshape(1, -1), RATE_HZ, metadata={"word": word})


def voice_pipeline(hold_s=0.0):
    return Pipeline("voice", [Answer(id="answer"), Speak(hold_s, id="tts")])


async def converse(socket, hold_s=0.0):
    """Talks with one client until it hangs up.

    ``socket`` is what a web framework gives: async iteration over lines, and ``send(sound)``.
    """
    async with voice_pipeline(hold_s).open() as session:

        async def listen():
            async for line in socket:
                if line == "stop":
                    session.interrupt("answer")
                else:
                    await session.push(line)
            session.end()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(listen())
            async for sound in session:
                await socket.send(sound)


class Terminal:
    """A socket for trying it out: lines from a list, sound shown as its word."""

    def __init__(self, lines):
        self.lines = lines

    async def __aiter__(self):
        for line in self.lines:
            print(f"> {line}")
            yield line
            await asyncio.sleep(0.05)

    async def send(self, sound):
        print(f"  {sound.metadata['word']:10} {sound.frames / sound.rate_hz:.1f} s of sound")


if __name__ == "__main__":
    asyncio.run(converse(Terminal(["good morning", "how are you today"])))
