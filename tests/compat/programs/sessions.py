"""State of sessions, awaited as in 0.1."""
import asyncio

from remotemedia import Node, Pipeline


class Chat(Node):
    async def process(self, data):
        text, metadata = self.split_data_metadata(data)
        session = await self.get_session_state(self.extract_session_id(data))
        turns = session.get("turns", 0) + 1
        session.set("turns", turns)
        return self.merge_data_metadata(f"{text} ({turns})", metadata)


async def main():
    node = Chat(name="chat", max_sessions=10)
    pipeline = Pipeline([node])
    messages = [("hi", {"session_id": "a"}), ("ho", {"session_id": "b"}), ("hi again", {"session_id": "a"})]
    for answer in await pipeline.run(messages):
        print(answer)


asyncio.run(main())
