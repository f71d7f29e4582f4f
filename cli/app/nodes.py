"""The nodes of @NAME@."""

from collections import Counter

from remotemedia import Node


class WordCount(Node):
    """Counts how often each word came so far.

    Parameters
    ----------
    lowercase : bool
        Count "The" and "the" as one.
    """

    def __init__(self, lowercase=False, **config):
        super().__init__(lowercase=lowercase, **config)
        self.lowercase = lowercase
        self.counts = Counter()

    def process(self, text):
        self.counts.update((text.lower() if self.lowercase else text).split())
        return {"words": sum(self.counts.values()), "most": dict(self.counts.most_common(3))}
