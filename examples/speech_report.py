"""What examples/speech.py reports: word errors against a reference, and a timeline as a picture."""

import re
from dataclasses import dataclass


@dataclass
class Recording:
    """One recording and what became of it. Times are in seconds."""

    name: str
    length_s: float
    elapsed_s: float
    peaks: tuple  # lowest and highest sample of each 10 ms, arrays
    regions: list  # (start, end) of speech
    utterances: list  # rows of asr.pocketsphinx
    reference: list | None  # words
    times: dict  # node id to ns

    @property
    def words(self):
        """The words that were heard."""
        return [word["word"] for row in self.utterances for word in row["words"]]


def read_references(path):
    """Reference words by name, from lines as ``<s> he was not … </s> (name)``."""
    references = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        found = re.fullmatch(r"(.*)\(([^()]+)\)\s*", line)
        if found:
            references[found[2]] = re.sub(r"</?s>", " ", found[1]).lower().split()
    return references


def edit_costs(reference, heard):
    """cost[i][j]: words to change, add or take away from the first i to make the first j."""
    cost = [list(range(len(heard) + 1))]
    for i, wanted in enumerate(reference, 1):
        row = [i]
        for j, got in enumerate(heard, 1):
            row.append(min(cost[-1][j - 1] + (wanted != got), cost[-1][j] + 1, row[-1] + 1))
        cost.append(row)
    return cost


def align(reference, heard):
    """The cheapest way from the reference to what was heard.

    Returns
    -------
    list of (str or None, str or None)
        Pairs of words; None on the left: too much was heard, on the right: missed.
    """
    cost = edit_costs(reference, heard)
    pairs, i, j = [], len(reference), len(heard)
    while i or j:
        same = i and j and cost[i][j] == cost[i - 1][j - 1] + (reference[i - 1] != heard[j - 1])
        left = same or (i and cost[i][j] == cost[i - 1][j] + 1)
        right = same or not left
        i, j = i - bool(left), j - bool(right)
        pairs.append((reference[i] if left else None, heard[j] if right else None))
    return pairs[::-1]


def word_errors(reference, heard):
    """Words to change, add or take away: the Levenshtein distance."""
    return sum(wanted != got for wanted, got in align(reference, heard))


def straight_words(path):
    """What pocketsphinx itself hears in a whole 16 kHz mono WAV file: no graph, no resampling."""
    import wave

    from pocketsphinx import Decoder

    with wave.open(str(path)) as file:
        samples = file.readframes(file.getnframes())
    decoder = Decoder(loglevel="FATAL", fwdflat=False, maxhmmpf=3000)
    decoder.start_utt()
    decoder.process_raw(samples, full_utt=True)
    decoder.end_utt()
    hypothesis = decoder.hyp()
    return hypothesis.hypstr.split() if hypothesis else []


# ---- the picture

INK, FAINT, WAVE, SPEECH = "#1f2933", "#8592a0", "#3d7ab8", "#dcebf7"
RIGHT, WRONG, NEUTRAL = "#2f7d4f", "#c0392b", "#1f2933"


def draw_timeline(recordings, path):
    """Waveform, speech regions and words on a time axis, a panel a recording.

    Returns
    -------
    bool
        False: matplotlib is not installed, and nothing was written.
    """
    try:
        import matplotlib
    except ImportError:
        return False
    matplotlib.use("Agg")
    from matplotlib import pyplot

    longest_s = max(r.length_s for r in recordings)
    figure, panels = pyplot.subplots(
        len(recordings),
        1,
        figsize=(15, 2.3 * len(recordings) + 0.7),
        squeeze=False,
        gridspec_kw={"hspace": 0.55},
    )
    for panel, recording in zip(panels[:, 0], recordings, strict=True):
        _draw_recording(panel, recording, longest_s)
    panels[-1, 0].set_xlabel("seconds", color=FAINT, fontsize=9)
    figure.savefig(path, dpi=110, bbox_inches="tight", facecolor="white")
    pyplot.close(figure)
    return True


def _draw_recording(panel, recording, longest_s):
    low, high = recording.peaks
    top = max(1e-3, float(abs(low).max(initial=0)), float(high.max(initial=0)))
    seconds = [(i + 0.5) / 100 for i in range(len(low))]
    for start_s, end_s in recording.regions:
        panel.fill_between([start_s, end_s], -1.08, 1.08, color=SPEECH, lw=0, zorder=0)
    panel.fill_between(seconds, low / top, high / top, color=WAVE, lw=0, zorder=2)
    _draw_words(panel, recording)
    panel.set_xlim(0, longest_s)
    panel.set_ylim(-3.0 if recording.reference else -2.4, 1.08)
    panel.set_yticks([])
    panel.tick_params(axis="x", colors=FAINT, labelsize=8, length=3)
    for side in ("left", "right", "top"):
        panel.spines[side].set_visible(False)
    panel.spines["bottom"].set_color("#cfd6dd")
    panel.set_title(recording.name, loc="left", fontsize=10, color=INK, pad=5, weight="bold")
    if recording.reference is not None:
        wrong = word_errors(recording.reference, recording.words)
        note = f"{wrong} of {len(recording.reference)} words wrong"
        panel.set_title(note, loc="right", fontsize=9, color=FAINT, pad=5)
        read = f"read: {' '.join(recording.reference)}"
        panel.text(0, -2.68, read, color=FAINT, fontsize=8.5, style="italic", va="center")


def _draw_words(panel, recording):
    """Each word in a box that spans its time, on two lines in turn; what is wrong is red."""
    right = _right_words(recording)
    words = [word for row in recording.utterances for word in row["words"]]
    for number, word in enumerate(words):
        start_s, end_s = word["start_s"], word["end_s"]
        color = NEUTRAL if right is None else RIGHT if right[number] else WRONG
        y = -1.55 if number % 2 == 0 else -2.08
        gap_s = 0.006
        span = [start_s + gap_s, end_s - gap_s]
        panel.plot(span, [-1.2, -1.2], color=color, lw=3, solid_capstyle="butt")
        middle_s = (start_s + end_s) / 2
        if number % 2:
            panel.plot([middle_s, middle_s], [-1.28, y + 0.24], color=color, lw=0.6, alpha=0.5)
        panel.text(middle_s, y, word["word"], color=color, fontsize=9, ha="center", va="center")


def _right_words(recording):
    """For each word that was heard: is it right? None: nothing to compare with."""
    if recording.reference is None:
        return None
    pairs = align(recording.reference, recording.words)
    return [wanted == got for wanted, got in pairs if got is not None]
