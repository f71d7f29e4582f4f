"""Pipelines of one shape share a plan, and nothing else."""

import asyncio
import gc
import weakref

import pytest

from remotemedia import Node, NodeSpec, Pipeline, PipelineError, Port, _plans
from remotemedia.node import Dependency


class Add(Node):
    """Adds its own number."""

    def __init__(self, number, **config):
        super().__init__(**config)
        self.number = number

    def process(self, item):
        return item + self.number


def chain(*numbers, **options):
    return Pipeline([Add(number, **options) for number in numbers])


def plan_of(pipeline):
    return pipeline._plan(fed=True, collected=True).plan


def test_pipelines_of_one_shape_share_their_plan_and_run_their_own_nodes():
    first, second = chain(1, 10), chain(2, 20)
    assert plan_of(first) is plan_of(second)
    assert first.run_sync([100]) == 111
    assert second.run_sync([100]) == 122
    assert first.run_sync([100]) == 111


def test_two_sessions_of_one_plan_at_the_same_time_are_apart():
    async def main():
        async with chain(1, 10).open() as first, chain(2, 20).open() as second:
            await second.push(100)
            await first.push(200)
            return await anext(first), await anext(second)

    assert asyncio.run(main()) == (211, 122)


@pytest.mark.parametrize(
    "options", [{"blocking": True}, {"on_error": "skip"}, {"merge": "zip"}, {"deadline_ms": 5}]
)
def test_what_a_node_says_of_its_run_makes_another_shape(options):
    other = chain(1, 10)
    for name, value in options.items():
        setattr(other.nodes[1], name, value)
    assert plan_of(other) is not plan_of(chain(1, 10))


def test_another_class_id_or_connection_makes_another_shape():
    class More(Add):
        pass

    plain = plan_of(chain(1, 10))
    assert plan_of(Pipeline([Add(1), More(10)])) is not plain
    assert plan_of(Pipeline([Add(1), Add(10, id="last")])) is not plain
    side_by_side = Pipeline()
    side_by_side.add(Add(1))
    side_by_side.add(Add(10))
    assert plan_of(side_by_side) is not plan_of(Pipeline([Add(1) >> Add(10)]))


def test_a_class_that_was_given_another_process_is_looked_at_again():
    class Turn(Node):
        def process(self, item):
            return item

    before = plan_of(Pipeline([Turn()]))
    Turn.process = lambda self, *items: items[0] + 1
    assert plan_of(Pipeline([Turn()])) is not before
    assert Pipeline([Turn()]).run_sync([1]) == 2


def test_a_class_that_was_given_another_spec_is_looked_at_again():
    class Split(Node):
        def process(self, item):
            return {"even": item} if item % 2 == 0 else {"odd": item}

    assert Pipeline([Split()]).run_sync([4]) == {"even": 4}
    Split.spec = NodeSpec("split", outputs=(Port("even"), Port("odd")))
    assert Pipeline([Split()]).run_sync([4]) == 4


def test_what_depends_on_the_machine_is_planned_each_time(monkeypatch):
    placed = chain(1)
    placed.nodes[0].placement = "local"
    assert plan_of(placed) is not plan_of(placed)
    typed = Pipeline([Node("audio.level"), Add(1)])
    assert plan_of(typed) is not plan_of(typed)
    before = plan_of(chain(1))
    monkeypatch.setenv("REMOTEMEDIA_ENABLE_FALLBACK", "1")
    assert plan_of(chain(1)) is not before


def test_a_shared_plan_keeps_no_node_alive():
    node = Add(1)
    gone = weakref.ref(node)
    plan = plan_of(Pipeline([node]))
    del node
    gc.collect()
    assert gone() is None
    assert plan_of(chain(5)) is plan
    assert chain(5).run_sync([1]) == 6


def test_a_session_of_a_shared_plan_can_be_changed_when_the_first_nodes_are_gone():
    plan_of(chain(1, 10))
    gc.collect()

    async def main():
        async with chain(2, 20).open() as session:
            async with session.change() as change:
                change.insert(Node("test.pass", id="pass"), after="Add")
            await session.push(100)
            return await anext(session)

    assert asyncio.run(main()) == 122


def test_a_module_that_is_missing_is_told_of_by_a_shared_plan_too(monkeypatch):
    installed = NodeSpec("add", requires=(Dependency("json", "pip install it"),))
    monkeypatch.setattr(Add, "spec", installed, raising=False)
    plan_of(chain(1))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(PipelineError, match="json"):
        plan_of(chain(1))


def test_a_bounded_number_of_plans_is_kept():
    for number in range(3 * _plans.PLANS_MAX):
        plan_of(Pipeline([Add(1, id=f"node_{number}")]))
    assert len(_plans._plans) == _plans.PLANS_MAX


def test_nodes_that_begin_and_end_with_nothing_get_no_task():
    tasks = []

    async def main():
        async with chain(1, 10).open() as session:
            tasks.extend(t.get_name() for t in asyncio.all_tasks())
            await session.push(1)
            return await anext(session)

    assert asyncio.run(main()) == 12
    assert not [name for name in tasks if name.startswith("remotemedia:")]
