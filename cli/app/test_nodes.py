"""Run me: python -m pytest"""

from nodes import WordCount
from remotemedia.testing import run_node


def test_words_are_counted_over_all_lines():
    results = run_node(WordCount(lowercase=True), ["The cat", "and the dog"])
    assert [r["words"] for r in results] == [2, 5]
    assert results[-1]["most"]["the"] == 2


def test_case_matters_where_it_is_asked_for():
    assert run_node(WordCount(), ["The the"])[0]["most"] == {"The": 1, "the": 1}
