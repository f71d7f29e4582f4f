"""`TransformersPipelineNode`: a pipeline of Hugging Face's ``transformers``, by its task."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING, Any

from ...errors import DEPENDENCY_MISSING, NodeError, PipelineError
from ...node import Node

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["TransformersPipelineNode"]

INSTALL = "pip install transformers torch"
LOADED_MAX = 8  # pipelines that nodes of one process share; the one used longest ago goes first
MEMORY_GB = {"text-generation": 8.0, "automatic-speech-recognition": 4.0, "image-to-text": 4.0}
MEMORY_GB_ELSE = 2.0


class TransformersPipelineNode(Node):
    """Applies ``transformers.pipeline(task)`` to each item, on a thread of its own.

    Parameters
    ----------
    task : str
        As transformers names it: ``"text-classification"``, ``"automatic-speech-recognition"``.
    model : str or None
        Name or folder of the model; None: what transformers takes for the task.
    device : str, int or None
        As transformers takes it; None: it chooses.
    model_kwargs : dict or None
        Passed on to the model.
    torch_dtype : str or None
        Name of a data type of torch, as ``"float16"``; None: that of the model.

    Raises
    ------
    ValueError
        No task is given.

    Notes
    -----
    Nodes of one process with the same parameters share what is loaded.
    """

    def __init__(
        self,
        task: str | None = None,
        model: str | None = None,
        device: str | int | None = None,
        model_kwargs: dict[str, Any] | None = None,
        torch_dtype: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not isinstance(task, str) or not task:
            raise ValueError(f"task is {task!r}, want a task of transformers as 'summarization'")
        self.task = task
        self.model = model
        self.device = device
        self.model_kwargs = dict(model_kwargs or {})
        self.torch_dtype = torch_dtype
        self._pipeline: Any = None

    def get_capabilities(self) -> dict[str, Any]:
        """The memory that models of the task commonly take; a GPU if there is one."""
        memory_gb = MEMORY_GB.get(self.task, MEMORY_GB_ELSE)
        gpu = {"type": "cuda", "min_memory_gb": memory_gb, "required": False}
        return {"gpu": gpu, "memory_gb": memory_gb}

    async def initialize(self) -> None:
        """Loads the model, off the event loop.

        Raises
        ------
        PipelineError
            E0309: transformers is not installed.
        NodeError
            The model cannot be loaded.
        """
        import asyncio

        self._pipeline = await asyncio.to_thread(self._load)

    def _load(self) -> Any:
        options: dict[str, Any] = {"task": self.task, "model": self.model}
        if self.device is not None:
            options["device"] = self.device
        if self.model_kwargs:
            options["model_kwargs"] = self.model_kwargs
        if self.torch_dtype is not None:
            options["torch_dtype"] = self.torch_dtype
        try:
            return _shared.get(options)
        except ImportError as error:
            raise PipelineError(
                f"node '{self.name}' needs transformers and torch: {error}",
                code=DEPENDENCY_MISSING,
                help=INSTALL,
            ) from error
        except (OSError, ValueError, KeyError) as error:
            what = self.model or "the model"
            raise NodeError(
                f"node '{self.name}': {what} cannot be loaded for the task '{self.task}': {error}",
                help="give model= the folder of a model that is there, or a name that can be fetched",
            ) from error

    async def process(self, data: Any) -> Any:
        """Returns what the pipeline gives."""
        import asyncio

        if self._pipeline is None:
            await self.initialize()
        return await asyncio.to_thread(self._pipeline, data)

    async def cleanup(self) -> None:
        """Lets go of the pipeline; other nodes may still share it."""
        self._pipeline = None


class _Shared:
    """The pipelines of this process, by what they were made with. Threads: any."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._loaded: OrderedDict[str, Any] = OrderedDict()

    def get(self, options: Mapping[str, Any]) -> Any:
        """One that was loaded already, or a new one."""
        key = repr(sorted(options.items()))
        with self._lock:
            if key not in self._loaded:
                from transformers import pipeline

                self._loaded[key] = pipeline(**options)
            self._loaded.move_to_end(key)
            while len(self._loaded) > LOADED_MAX:
                self._loaded.popitem(last=False)
            return self._loaded[key]


_shared = _Shared()
