"""`Pipeline`: nodes, the connections between them, and what runs them.

::

    pipeline = Pipeline("talk", [
        Node("media.read", path="talk.wav"), Node("audio.level"), Loudest(),
    ])
    result = await pipeline.run()            on the caller's loop; run_sync() without one
    async with pipeline.open() as s: …       a two-way session

One result is returned as it is, several as a list, none as None. A list or an iterator that is put
in is a stream of items, anything else is one item.
"""

from __future__ import annotations

import json
import os
import re
from datetime import UTC
from typing import TYPE_CHECKING, Any, NamedTuple

from . import _core, _drive, _plans, _resolve
from ._graph import Connection, GraphBuilder, dumps
from ._watch import Watch
from .errors import (
    VALUE_NOT_ACCEPTABLE,
    ConfigurationError,
    NodeError,
    PipelineError,
    SerializationError,
    node_error,
    pipeline_error,
)
from .flow import Edge, Flow, PortOf, check_closed, flow_of, join
from .media import Audio, Video
from .metrics import Metrics, metrics_of
from .node import Node, check_id, unique_id

if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        AsyncIterator,
        Callable,
        Collection,
        Iterator,
        Mapping,
        Sequence,
    )
    from contextlib import AbstractAsyncContextManager
    from logging import Logger
    from typing import Literal

    from ._host import Host
    from ._memory import MemoryRows, Tracer
    from .errors import Excerpt
    from .events import Events
    from .flow import Member, Part
    from .otel import Telemetry
    from .session import Session

__all__ = ["Pipeline"]



def _excerpt(value: Any, node: object) -> Excerpt:
    from ._excerpt import excerpt

    return excerpt(value, node)


_core.set_types(Audio, Video)
_core.set_excerpt(_excerpt)
_drive.translate = node_error

PREVIOUS: Any = "<the node added before>"


class Pipeline:
    """A graph of nodes that can be run, any number of times, also at the same time.

    Parameters
    ----------
    nodes : list, Flow, or str
        Nodes and pipelines, each feeding the next; a flow (``a >> [b, c]``, see
        `remotemedia.flow`), or a list of flows, which stand side by side. A str here is the name,
        and the nodes are the second argument then.
    name : str or None
        What it is called; ``Pipeline_…`` where it is None.
    on_error : "fail", "skip", "retry", "bypass", a dict, or None
        What happens to an item that fails, for nodes that do not say it themselves. None: the run
        ends with a `NodeError`.
    description : str or None
        One line for the manifest.
    memory_bytes_max : int
        Bound of a run's packet buffers, bytes; 0: 256 MiB. Arrays and other objects of Python pass
        by reference and are not counted: what may wait of them is bounded by the capacities of the
        connections, 16 packets each unless they say otherwise.
    latency_ms_max : float or None
        How old an item may be when a sink has it, from where it entered, ms. What is older is counted,
        and told as `Late` with the node that works longest on the way. None: no budget.
    checkpoint : str, os.PathLike or None
        Folder in which runs keep checkpoints, and go on from the newest good one that is there, with
        the same input: what was taken of it before is left out, and the results have all items; of a
        two-way session see `Session.pushed`, and docs/guide/recovery.md. One run at a time.
    checkpoint_interval_ms : int
        How often one is made, milliseconds; 0: as the manifest says, else 1000.
    enable_metrics : bool
        Whether `remotemedia top` shows its runs; the numbers are there always.
    trace_memory : bool
        Whether runs count what each Python node holds, by tracemalloc: `NodeMetrics.memory_bytes`. All
        Python code of the process is several times slower meanwhile.
    workers : bool or set of str
        Which Python nodes run in worker processes, of those that do not say it by their ``tier``: True,
        all of them; ids or names. See docs/guide/workers.md.
    record : str, os.PathLike or None
        File that keeps the latest run for `replay`; see docs/guide/record.md.

    Raises
    ------
    PipelineError
        Something in ``nodes`` is no node, two have the same id, or as of `add`.

    Notes
    -----
    A live node (an object of a class of yours) is shared by runs at the same time: the first
    initializes it, the last cleans it up, and its state survives from run to run. A node that is
    given by its type is made anew for each run. Threads: build it on one thread; run it from any.
    """

    trace_memory = False
    workers: bool | Collection[str] = False
    _tracers: dict[_core.Session, Tracer] | None = None

    def __init__(
        self,
        nodes: Sequence[Part] | Part | str | None = None,
        name: str | Sequence[Part] | Part | None = None,
        *,
        on_error: str | dict[str, Any] | None = None,
        description: str | None = None,
        memory_bytes_max: int = 0,
        latency_ms_max: float | None = None,
        enable_metrics: bool = True,
        trace_memory: bool = False,
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_interval_ms: int = 0,
        record: str | os.PathLike[str] | None = None,
        workers: bool | Collection[str] = False,
    ) -> None:
        if isinstance(nodes, str):
            nodes, name = (None if isinstance(name, str) else name), nodes
        if not (name is None or isinstance(name, str)):
            raise PipelineError(
                f"a pipeline's name is {name!r}, want str", code=VALUE_NOT_ACCEPTABLE
            )
        self.name: str = name or f"Pipeline_{id(self)}"
        self.on_error = on_error
        self.description = description
        self.memory_bytes_max = memory_bytes_max
        self.checkpoint = checkpoint
        self.checkpoint_interval_ms = checkpoint_interval_ms
        self.record = record
        self.enable_metrics = enable_metrics
        self.workers = workers
        if trace_memory:  # what is seldom asked for takes no room in the others
            self.trace_memory = True
        self.errors: list[NodeError] = []
        self.is_initialized = False
        self._graph = GraphBuilder()
        if latency_ms_max is not None:
            self._graph.top["session"] = {"latency_ms_max": latency_ms_max}
        self._sessions: list[_core.Session] = []
        # And the ids then, and what the nodes held.
        self._last_numbers: tuple[_core.Numbers, list[str], MemoryRows] | None = None
        self._listeners: list[Events] = []
        self._telemetry: Telemetry | None = None
        if isinstance(nodes, (Node, Flow, PortOf, Pipeline)):
            self.add(nodes)
        elif any(isinstance(node, (Flow, PortOf)) for node in nodes or ()):
            self.add(*(nodes or ()))
        else:
            for node in nodes or ():
                self.add_node(node)  # type: ignore[arg-type]

    # ---- building

    def add(self, *parts: Part) -> Pipeline:
        """Adds what flows draw: ``pipeline.add(a >> b, a >> c)``.

        Parameters
        ----------
        *parts : Flow, Node or Pipeline
            Nodes joined by ``>>``, see `remotemedia.flow`. A node that is here already is connected,
            not added again; one that is new gets an id as in `add_node`. A node without ``>>`` is
            added beside the others.

        Returns
        -------
        Pipeline
            This pipeline.

        Raises
        ------
        PipelineError
            E0107: a connection twice, or an id that is taken. E0108: no such port. E0109: a cycle.
            Nothing of the parts has been added then.

        Examples
        --------
        ``pipeline.add(mic >> Edge(policy="latest") >> [asr, meter], merge(asr, meter) >> page)``
        """
        self._check_open_to_change("add a flow")
        graph = self._graph
        with graph.all_or_nothing():
            for part in parts:
                self._add_flow(flow_of(part))
        return self

    def _add_flow(self, flow: Flow) -> None:
        graph = self._graph
        check_closed(flow)
        for member in flow.members:
            if graph.find(member) is not None:
                continue
            if isinstance(member, Pipeline):
                graph.add_part(member)
            else:
                graph.add(member)
        for source, target, branch, branches in flow.joints:
            port = target.port
            if branches > 1 and port is None:
                port = self._port_of_branch(target.member, branch, branches)
            graph.connect(
                source.member,
                target.member,
                {**source.fields, **target.fields},
                (source.port, port),
            )
        for member, how in flow.merges:
            graph.set_merge(member, how)

    def _port_of_branch(self, member: Member, branch: int, branches: int) -> str | None:
        """The input that a branch feeds; None: the first, for the node has not one for each."""
        known = None if isinstance(member, Pipeline) else _resolve.known_ports(member)
        return known[0][branch] if known is not None and len(known[0]) == branches else None

    def connect(
        self,
        source: str | Part,
        target: str | Part,
        *,
        from_port: str | None = None,
        to_port: str | None = None,
        capacity: int | Mapping[str, int] | None = None,
        policy: Literal["block", "drop_oldest", "drop_newest", "latest"] | None = None,
        when: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> Pipeline:
        """Connects two nodes that are in the pipeline.

        Parameters
        ----------
        source, target : str, Node, Pipeline or a port of one
            An id, ``"id.port"``, the node itself, or ``node["port"]``.
        from_port, to_port : str or None
            Names of an output and an input; the first ones where they are None.
        capacity, policy, when, **fields
            How the edge queues and what goes over it, as of `Edge`.

        Returns
        -------
        Pipeline
            This pipeline.

        Raises
        ------
        PipelineError
            E0107: they are connected already. E0108: no such node or port. E0109: a cycle.
        """
        self._check_open_to_change("connect nodes")
        edge = Edge(capacity=capacity, policy=policy, when=when, **fields)
        with self._graph.all_or_nothing():
            self._graph.connect(source, target, edge.fields, (from_port, to_port))
        return self

    def __rshift__(self, other: Part | Edge | Sequence[Part]) -> Flow:
        """``self >> other``: as a node of another pipeline, see `remotemedia.flow`."""
        return join(self, other)

    def __rrshift__(self, other: Sequence[Part]) -> Flow:
        """``[a, b] >> self``: as a node of another pipeline."""
        return join(other, self)

    def __getitem__(self, port: str) -> PortOf:
        """A named input or output of it, or ``"id"`` or ``"id.port"`` of a node inside, for ``>>``."""
        return PortOf(self, port)

    def add_node(
        self,
        node: Node | Pipeline | str,
        *,
        id: str | None = None,
        after: Any = PREVIOUS,
        **params: Any,
    ) -> Pipeline:
        """Adds a node.

        Parameters
        ----------
        node : Node, Pipeline or str
            A node, or a node type (``"audio.level"``) whose parameters follow. Of a pipeline all
            nodes are added as they are now, their ids behind its own: ``inner__resample``.
        id : str or None
            Its id; made from its name where it is None.
        after : str, Node, list, dict or None
            What feeds it: an id, ``"id.port"``, a node, a list of these, or a dict from its input
            ports to these. None: nothing. Default: the node that was added before it.
        **params
            Parameters of the type.

        Returns
        -------
        Pipeline
            This pipeline.

        Raises
        ------
        PipelineError
            Not a node, an id that is taken, an ``after`` that is not there, or the pipeline is
            initialized.
        """
        self._check_open_to_change("add a node")
        made = self._node_of(node, params)
        graph = self._graph
        if after is PREVIOUS:
            after = graph.last_id()
        try:
            with graph.all_or_nothing():
                if isinstance(made, Pipeline):
                    graph.add_part(made, after, id=check_id(id))
                else:
                    graph.add(made, after, id=check_id(id))
        except ConfigurationError as error:
            raise PipelineError(error.message, code=error.code, help=error.help) from None
        return self

    def _node_of(
        self, node: Node | Pipeline | str, params: dict[str, Any]
    ) -> Node | Pipeline:
        if isinstance(node, (Node, Pipeline)):
            if params:
                raise PipelineError(
                    f"add_node() got parameters ({', '.join(params)}) for a node that is made "
                    f"already",
                    code=VALUE_NOT_ACCEPTABLE,
                )
            return node
        if isinstance(node, str) and any(mark in node for mark in ".:/#"):
            try:
                return Node(node, **params)
            except ConfigurationError as error:
                raise PipelineError(error.message, code=error.code) from None
        what = f"the class {node.__name__}" if isinstance(node, type) else repr(node)
        raise PipelineError(
            f"{what} is not a node",
            code=VALUE_NOT_ACCEPTABLE,
            help="give an object of a subclass of Node, or a node type as 'audio.level'",
        )

    def remove_node(self, name: str) -> bool:
        """Removes the first node or pipeline of that id or name; what fed it feeds what it fed.

        Returns
        -------
        bool
            False: there is none.
        """
        self._check_open_to_change("remove a node")
        id = self._graph.find(name)
        if id is None:
            return False
        self._graph.remove(id)
        return True

    def get_node(self, name: str) -> Node | None:
        """The first node of that id or name, or None."""
        id = self._graph.find(name)
        return None if id is None else self._graph.nodes.get(id)

    def _check_open_to_change(self, what: str) -> None:
        if self.is_initialized:
            raise PipelineError(f"cannot {what}: pipeline '{self.name}' is initialized")

    # ---- looking

    @property
    def nodes(self) -> list[Node]:
        """The nodes, in the order of adding."""
        return list(self._graph.nodes.values())

    @property
    def node_ids(self) -> list[str]:
        """The ids of the nodes, in the order of adding."""
        return list(self._graph.nodes)

    @property
    def node_count(self) -> int:
        """How many nodes there are."""
        return len(self._graph.nodes)

    @property
    def remote_node_count(self) -> int:
        """How many of them run elsewhere."""
        return sum(node.is_remote for node in self.nodes)

    @property
    def logger(self) -> Logger:
        """The logger ``remotemedia.Pipeline``."""
        from logging import getLogger

        return getLogger("remotemedia.Pipeline")

    def __len__(self) -> int:
        return len(self._graph.nodes)

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def __aiter__(self) -> AsyncIterator[Any]:
        return self.stream()

    def __repr__(self) -> str:
        state = "initialized" if self.is_initialized else "not initialized"
        return f"Pipeline(name={self.name!r}, nodes={len(self)}, {state})"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        """How a notebook shows it: a drawing, and text."""
        return {"image/svg+xml": self.to_svg(), "text/plain": repr(self)}

    def to_svg(self) -> str:
        """A drawing of the graph, as SVG text."""
        from ._draw import draw

        return draw(self._graph)

    def get_config(self) -> dict[str, Any]:
        """Name and nodes, as a dict."""
        nodes = [node.get_config() for node in self.nodes]
        return {"name": self.name, "node_count": len(nodes), "nodes": nodes}

    # ---- manifest

    def to_manifest(self, description: str | None = None) -> dict[str, Any]:
        """The manifest v1 (schemas/manifest.v1.json) as a dict.

        A node whose class or parameters another process could not make again is pinned to this one
        by ``{"$python": n}``.
        """
        from datetime import datetime

        now = datetime.now(UTC).replace(microsecond=0, tzinfo=None)
        metadata = {"name": self.name, "created_at": f"{now.isoformat()}Z"}
        text = description or self.description
        if text:
            metadata["description"] = text
        return self._graph.to_manifest(metadata, live=False, on_error=self.on_error)

    def serialize(self, include_capabilities: bool = True, description: str | None = None) -> str:
        """The manifest as JSON text, see `to_manifest`."""
        manifest = self.to_manifest(description)
        if not include_capabilities:
            for node in manifest["nodes"]:
                node.pop("capabilities", None)
        return dumps(manifest)

    def export_definition(self) -> dict[str, Any]:
        """The pipeline as a dict of 0.1's form, from which `from_definition` makes it again."""
        from ._definition import export

        return export(self)

    @classmethod
    async def from_definition(cls, definition: Mapping[str, Any]) -> Pipeline:
        """The pipeline that a dict of `export_definition` describes.

        Raises
        ------
        PipelineError
            A class of it cannot be imported, is no subclass of `Node`, or does not take its config.
        """
        from ._definition import build

        return build(cls, definition)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the manifest to a file."""
        with open(path, "w", encoding="utf-8") as file:
            file.write(self.serialize() + "\n")

    @classmethod
    def from_manifest(cls, manifest: str | bytes | Mapping[str, Any]) -> Pipeline:
        """The pipeline that a manifest describes.

        Parameters
        ----------
        manifest : str, bytes or mapping
            JSON text, or what it says.

        Raises
        ------
        PipelineError
            The manifest is not well formed; ``findings`` holds all that is wrong with it, with line
            and column.
        """
        return cls._parse(manifest)

    @classmethod
    def _parse(
        cls, manifest: str | bytes | Mapping[str, Any], folder: str | None = None
    ) -> Pipeline:
        text = manifest if isinstance(manifest, (str, bytes)) else json.dumps(dict(manifest))
        try:
            graph = _core.Graph.parse(text, folder=folder)
        except _core.Error as error:
            raise pipeline_error(error) from error.__cause__
        return cls._from_graph(graph)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Pipeline:
        """The pipeline of a manifest file, see `from_manifest`.

        Files of graphs that it names are looked for beside it.
        """
        with open(path, "rb") as file:
            return cls._parse(file.read(), os.path.dirname(os.fspath(path)))

    @classmethod
    def inline(cls, text: str) -> Pipeline:
        """The pipeline of a line as ``media.read path=a.wav ! audio.level``.

        Raises
        ------
        PipelineError
            E0111, with the column.
        """
        try:
            graph = _core.Graph.inline(text)
        except _core.Error as error:
            raise pipeline_error(error) from error.__cause__
        return cls._from_graph(graph)

    @classmethod
    def _from_graph(cls, graph: _core.Graph) -> Pipeline:
        manifest = json.loads(graph.to_json())
        metadata = manifest.get("metadata") or {}
        self = cls(name=graph.name or None, description=metadata.get("description"))
        self._graph = GraphBuilder.from_manifest(manifest)
        return self

    def explain(self) -> dict[str, Any]:
        """The plan: formats, converters and placement, each with its reason.

        Raises
        ------
        PipelineError
            The pipeline cannot be planned; ``findings`` holds all reasons.
        """
        plan = self._plan(fed=bool(self._open_roots()), collected=False, shared=False).plan
        explained: dict[str, Any] = json.loads(plan.to_json())
        return explained

    # ---- planning

    def _open_roots(self) -> list[str]:
        """Ids of the nodes that wait for the pipeline's input."""
        roots = []
        for id in self._graph.roots():
            node = self._graph.nodes[id]
            known = _resolve.ports(node)
            if known is not None and known[0]:
                roots.append(id)
        return roots

    def _inlets(self) -> list[tuple[str, str | None]]:
        """Where it is entered as a node of another pipeline."""
        known = ((id, _resolve.known_ports(self._graph.nodes[id])) for id in self._graph.roots())
        return [(id, None) for id, ports in known if ports is None or ports[0]]

    def _outlets(self) -> list[tuple[str, str | None]]:
        """Where it is left as a node of another pipeline."""
        known = ((id, _resolve.known_ports(self._graph.nodes[id])) for id in self._graph.ends())
        return [(id, None) for id, ports in known if ports is None or ports[1]]

    def _ends(self) -> list[str]:
        """Ids of the nodes whose output is the pipeline's."""
        ends = []
        for id in self._graph.ends():
            known = _resolve.ports(self._graph.nodes[id])
            if known is None or known[1]:
                ends.append(id)
        return ends

    def _plan(
        self,
        *,
        fed: bool,
        collected: bool,
        outputs: Sequence[str | Node] | None = None,
        shared: bool = True,
    ) -> _Planned:
        """The plan; ``shared``: it may be one that others use, too."""
        if not self._graph.nodes:
            raise PipelineError(f"pipeline '{self.name}' is empty")
        try:
            manifest = self._graph.to_manifest(
                {"name": self.name[:255]}, live=True, on_error=self.on_error
            )
            if self.workers:
                self._graph.host_in_workers(manifest, self.workers)
            feed = self._add_feed(manifest) if fed else None
            collect = self._add_collect(manifest, outputs) if collected else None
            key = _plans.key_of(self._graph.nodes, manifest) if shared else None
            plan = _plans.find(key) or self._made_plan(manifest, shared=key is not None)
            nodes = _plans.given(self._graph.nodes) if key else {}
        except SerializationError as error:
            raise PipelineError(error.message, code=error.code) from error
        except _core.Error as error:
            made = pipeline_error(error)
            # The manifest is ours: its lines and columns say nothing to the caller.
            made.message = re.sub(r"^line \d+, column \d+: ", "", made.message)
            made.args = (made.message,)
            made.findings = [_core.Finding((f[0], f[1], 0, 0, *f[4:])) for f in made.findings]
            raise made from error.__cause__
        if key:
            _plans.keep(key, plan, self._graph.nodes)
        if plan.findings:
            _warn(plan.findings)
        return _Planned(plan, feed, collect, nodes)

    def _made_plan(self, manifest: dict[str, Any], *, shared: bool) -> _core.Plan:
        nodes: Mapping[str, Any] = self._graph.nodes
        places = _plans.places_of(nodes) if shared else nodes  # alive until it is made
        _plans.number(manifest, places)
        registry = _resolve.take_registry()
        try:
            return _core.Graph.parse(json.dumps(manifest)).plan(registry)
        finally:
            _resolve.give_registry(registry)

    def _add_feed(self, manifest: dict[str, Any]) -> str:
        roots = self._open_roots() or self._graph.roots()[:1]
        id = unique_id("input", self._graph.nodes)
        manifest["nodes"].insert(0, {"id": id, "node_type": "python.feed"})
        manifest["connections"] += [{"from": id, "to": root} for root in roots]
        return id

    def _add_collect(
        self, manifest: dict[str, Any], outputs: Sequence[str | Node] | None
    ) -> str | None:
        named = self._ends() if outputs is None else outputs
        places = (self._graph.places(output, "outputs", "outputs") for output in named)
        ends = dict.fromkeys(end for ends in places for end in ends)
        if not ends:
            return None
        id = unique_id("output", self._graph.nodes)
        manifest["nodes"].append({"id": id, "node_type": "python.collect"})
        edges = [Connection(end, id, port).to_manifest() for end, port in ends]
        manifest["connections"] += edges
        return id

    def _policy_of(self, id: str | None) -> str:
        """The policy of a node's ``on_error``, by name."""
        policy = self.on_error
        node = self._graph.nodes.get(id or "")
        if node is not None and id is not None:
            policy = policy if node.on_error is None else node.on_error
            policy = self._graph.extras.get(id, {}).get("on_error", policy)
        named = policy.get("policy") if isinstance(policy, dict) else policy
        return str(named or "fail")

    def _prepare(
        self, data: Any, results: list[Any] | Callable[[Any], object]
    ) -> tuple[_core.Plan, dict[str, Any], dict[str, Any], dict[str, Host]]:
        """Plan, feed, collect and nodes of one run."""
        fed = data is not None
        if not fed:
            self._check_sources()
        plan, feed, collect, nodes = self._plan(fed=fed, collected=True)
        return (
            plan,
            {feed: as_stream(data)} if feed else {},
            {collect: results} if collect else {},
            nodes,
        )

    def _check_sources(self) -> None:
        for id in self._open_roots():
            node = self._graph.nodes[id]
            raise TypeError(
                f"node '{id}' of pipeline '{self.name}' needs an item: give run() an input, or "
                f"begin with a source ({type(node).__name__}.process() takes an item)"
            )

    # ---- running

    async def run(self, input_data: Any = None, use_rust: bool = True) -> Any:
        """Runs the pipeline to its end on the caller's event loop.

        Parameters
        ----------
        input_data : object
            A list, an iterator or an async iterable: a stream of items; None: the first node is a
            source; anything else: one item. It goes to each node that nothing feeds.
        use_rust : bool
            Has no effect; accepted for programs of 0.1.

        Returns
        -------
        object
            None for no result, the result itself for one, a list for more. Results that are None
            are left out.

        Raises
        ------
        NodeError
            A node failed; an instance of what it raised, too. Every node has been cleaned up.
        PipelineError
            The pipeline cannot be planned; nothing has run.
        TypeError
            Without an input, and the first node is no source.
        """
        results: list[Any] = []
        with Watch(self) as watch:
            await _drive.run(*self._prepare(input_data, results), **watch.options())
        return shape(results)

    def run_sync(self, input_data: Any = None) -> Any:
        """As `run`, blocking; for programs without an event loop.

        Raises
        ------
        RuntimeError
            Inside a running event loop; ``await pipeline.run(…)`` there.
        """
        results: list[Any] = []
        self._run_sync(input_data, results)
        return shape(results)

    def run_into(self, input_data: Any, sink: Callable[[Any], object]) -> None:
        """As `run_sync`, and gives each result to a function as it comes, also a single one.

        Parameters
        ----------
        input_data : object
            As of `run`.
        sink : callable
            Called with each result on the calling thread; what it raises ends the run.
        """
        self._run_sync(input_data, sink)

    async def replay(self, path: str | os.PathLike[str]) -> Any:
        """Runs again what ``Pipeline(record=path)`` kept, of a pipeline with the same nodes; see
        docs/guide/record.md. NodeError (E0413) where a node does otherwise, PipelineError (E0412)
        where the record is damaged or of another pipeline."""
        results: list[Any] = []
        with Watch(self, os.fspath(path)) as watch:
            await _drive.run(*self._prepare_again(results), **watch.options())
        return shape(results)

    def replay_sync(self, path: str | os.PathLike[str]) -> Any:
        """As `replay`, blocking."""
        results: list[Any] = []
        with Watch(self, os.fspath(path)) as watch:
            _drive.run_sync(*self._prepare_again(results), **watch.options())
        return shape(results)

    def _prepare_again(self, results: list[Any]) -> tuple[Any, ...]:
        return self._prepare([] if self._open_roots() else None, results)

    def _run_sync(self, data: Any, results: list[Any] | Callable[[Any], object]) -> None:
        with Watch(self) as watch:
            _drive.run_sync(*self._prepare(data, results), **watch.options())

    async def stream(self, stream: Any = None) -> AsyncGenerator[Any, None]:
        """Runs the pipeline and yields each result as it comes.

        Parameters
        ----------
        stream : object
            As ``input_data`` of `run`.

        Yields
        ------
        object
            Results, never None. Leaving the loop early cancels the run.
        """
        from contextlib import aclosing

        from .session import iterate

        if stream is None:
            self._check_sources()
        async with aclosing(iterate(self, stream)) as results:  # it ends before this does
            async for result in results:
                yield result

    async def process(self, stream: Any = None) -> AsyncIterator[Any]:
        """As `stream`, for a pipeline that `initialize` or `managed_execution` made ready.

        Raises
        ------
        PipelineError
            The pipeline is not initialized.
        """
        if not self.is_initialized:
            raise PipelineError(f"pipeline '{self.name}' is not initialized")
        from contextlib import aclosing

        async with aclosing(self.stream(stream)) as results:
            async for result in results:
                yield result

    def open(self, *, outputs: str | Node | Sequence[str | Node] | None = None) -> Session:
        """A two-way session, to be used by ``async with``: see `remotemedia.session.Session`.

        Parameters
        ----------
        outputs : str, Node, or a sequence of these
            Whose items the session gives, in one stream: ids, ``"id.port"``, or nodes; also of a
            node that feeds others. A node without a port stands for its first output. The items of
            one output keep their order, those that a call gave on two of them may not. None: the
            first output of each node that feeds nothing.

        Raises
        ------
        PipelineError
            On entering the session: the pipeline cannot be planned, or has no such output.

        Examples
        --------
        ``pipeline.open(outputs=["asr.text", "asr.partial"])``
        """
        from .session import Session

        return Session(self, [outputs] if isinstance(outputs, (str, Node)) else outputs)

    # ---- kept ready between runs

    async def initialize(self) -> None:
        """Initializes the live nodes, so that runs find them ready; does nothing the second time.

        Raises
        ------
        PipelineError
            The pipeline is empty, or a node failed; all nodes have been cleaned up then.
        """
        from .session import initialize

        await initialize(self)

    async def cleanup(self) -> None:
        """Cleans up the nodes that `initialize` made ready. Errors are logged, not raised."""
        from .session import cleanup

        await cleanup(self)

    def managed_execution(self) -> AbstractAsyncContextManager[Pipeline]:
        """An async context: `initialize` at its begin, `cleanup` at its end on each path."""
        from .session import managed

        return managed(self)

    # ---- events and numbers

    def events(self) -> Events:
        """What will happen in the next run that begins: an async iterator that ends with it.

        Call it before `run`, `stream`, `open` or `run_sync`; the events are told while the run goes
        on, on its thread, and can be taken on any. See `remotemedia.events`.
        """
        from .events import Events

        events = Events()
        self._listeners.append(events)
        return events

    @property
    def metrics(self) -> Metrics:
        """The numbers of the run that goes on, or of the latest one; see `Metrics`.

        Raises
        ------
        PipelineError
            Nothing has run yet.
        """
        if self._sessions:
            session = self._sessions[-1]
            tracer = (self._tracers or {}).get(session)
            memory = None if tracer is None else tracer.rows()
            return metrics_of(session.numbers(), self.node_ids, memory)
        if self._last_numbers is None:
            raise PipelineError(f"pipeline '{self.name}' has not run yet")
        return metrics_of(*self._last_numbers)

    def get_metrics(self) -> dict[str, Any]:
        """The metrics as a dict, {} before the first run."""
        if not self._sessions and self._last_numbers is None:
            return {}
        return self.metrics.to_dict(self.name)


class _Planned(NamedTuple):
    """A plan, the ids of its feeding and its collecting node, and the nodes that it doesn't make."""

    plan: _core.Plan
    feed: str | None
    collect: str | None
    nodes: dict[str, Host]


def _warn(findings: list[_core.Finding]) -> None:
    """Python warnings at the line that called into this package."""
    import sys
    import warnings

    frame, level = sys._getframe(), 1
    while frame.f_back is not None and frame.f_globals.get("__package__") == __package__:
        frame, level = frame.f_back, level + 1
    for finding in findings:
        help = f" ({finding.help})" if finding.help else ""
        warnings.warn(f"E{finding.code:04}: {finding.message}{help}", stacklevel=level)


def as_stream(data: Any) -> Any:
    """What is fed: a list, an iterator or an async iterable itself, else a list of the item."""
    if isinstance(data, list) or hasattr(type(data), "__aiter__") or _is_iterator(data):
        return data
    return [data]


def _is_iterator(data: Any) -> bool:
    return hasattr(type(data), "__next__") and hasattr(type(data), "__iter__")


def shape(results: list[Any]) -> Any:
    """None for no result, the result itself for one, the list for more."""
    if len(results) > 1:
        return results
    return results[0] if results else None
