"""Write a small film, read it again, look at its pictures."""
import asyncio
import os
import tempfile

import av
import numpy as np
from remotemedia import Pipeline
from remotemedia.nodes import MediaReaderNode, MediaWriterNode, VideoTrackSource


def frames():
    for n in range(10):
        picture = np.full((48, 64, 3), 20 * n, np.uint8)
        yield {"video": av.VideoFrame.from_ndarray(picture, "bgr24")}


async def main():
    path = os.path.join(tempfile.mkdtemp(), "film.mp4")
    print(await Pipeline([MediaWriterNode(output_path=path)]).run(list(frames())))
    pipeline = Pipeline(name="film")
    pipeline.add_node(MediaReaderNode(path=path, name="reader"))
    pipeline.add_node(VideoTrackSource(name="pictures"))
    pictures = await pipeline.run()
    print(len(pictures), pictures[0][0].shape, pictures[0][0].dtype)
    print([abs(int(picture.mean()) - 20 * n) < 10 for n, (picture, pts) in enumerate(pictures)])


asyncio.run(main())
