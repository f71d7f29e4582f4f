"""The named outputs of a two-way session."""

import asyncio

import pytest
from remotemedia import Node, NodeSpec, Out, Pipeline, PipelineError, Port


class Split(Node):
    """Words that come, and the sentences that they make."""

    spec = NodeSpec("test.sentences", outputs=(Port("sentence"), Port("word")))

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.words = []

    def initialize(self):
        self.words = []

    def process(self, word):
        yield Out("word", word)
        self.words.append(word)
        if word.endswith("."):
            sentence, self.words = " ".join(self.words), []
            yield Out("sentence", sentence)


class Upper(Node):
    def process(self, text):
        return text.upper()


def results(pipeline, outputs=None):
    """What a session gives for three words."""

    async def main():
        async with pipeline.open(outputs=outputs) as session:
            for word in ("Stop", "it.", "Now"):
                await session.push(word)
            session.end()
            return [item async for item in session]

    return asyncio.run(main())


def test_without_names_it_is_the_first_output_of_each_last_node():
    assert results(Pipeline([Split()])) == ["Stop it."]
    branches = Pipeline([Split()]).add_node(Upper()).add_node(Upper(), after="Split.word")
    assert sorted(results(branches)) == ["IT.", "NOW", "STOP", "STOP IT."]


@pytest.mark.parametrize("name", ["split.word", ["split.word"], ("split.word", "split.word")])
def test_a_second_output_by_its_name(name):
    assert results(Pipeline([Split(id="split")]), name) == ["Stop", "it.", "Now"]


def test_several_outputs_come_in_one_stream():
    split = Split(id="split")
    every = ["Now", "Stop", "Stop it.", "it."]
    assert sorted(results(Pipeline([split]), ["split", "split.word"])) == every
    assert sorted(results(Pipeline([split]), [split, "split.word"])) == every


def test_an_output_before_the_last_node_is_heard_beside_what_it_feeds():
    pipeline = Pipeline([Split(id="split"), Upper(id="upper")])
    assert sorted(results(pipeline, ["upper", "split.sentence"])) == ["STOP IT.", "Stop it."]
    assert results(pipeline, "split.word") == ["Stop", "it.", "Now"]


def test_the_same_pipeline_opens_with_other_names_each_time():
    pipeline = Pipeline([Split(id="split")])
    assert len(results(pipeline, "split.word")) == 3
    assert results(pipeline) == ["Stop it."]
    assert pipeline.node_ids == ["split"]


@pytest.mark.parametrize(
    "name, message, help",
    [
        ("spilt.word", "outputs='spilt.word' names no node", "did you mean 'split'?"),
        ("nothing", "outputs='nothing' names no node", "nodes: split"),
        ("split.words", r"has no output port 'words'", "did you mean 'word'?"),
        (Upper(), r"outputs=Upper\(\) is not in this pipeline", ""),
    ],
)
def test_a_wrong_name_says_which_was_meant(name, message, help):
    with pytest.raises(PipelineError, match=message) as caught:
        results(Pipeline([Split(id="split")]), name)
    assert caught.value.help == help


def test_after_says_which_node_was_meant_too():
    with pytest.raises(PipelineError, match="after='spilt' names no node") as caught:
        Pipeline([Split(id="split")]).add_node(Upper(), after="spilt")
    assert caught.value.help == "did you mean 'split'?"


def test_a_pipeline_that_ends_with_a_sink_says_how_to_get_results():
    class Tell(Node):
        spec = NodeSpec("test.tell", outputs=())

        def process(self, text):
            pass

    pipeline = Pipeline([Split(id="split"), Tell()])
    with pytest.raises(PipelineError, match="gives no results") as caught:
        results(pipeline)
    assert caught.value.help == 'name an output: open(outputs="split")'
    assert results(pipeline, "split") == ["Stop it."]
