"""All data panels of both papers: what each shows, of which sessions, how it is made and tested."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

import oscaxr.figures.analysis_paper as analysis
import oscaxr.figures.dataset_paper as dataset
import oscaxr.figures.group_pictures as groups
import oscaxr.figures.pictures as pictures
import oscaxr.figures.session_results as of_session
from oscaxr.errors import CriterionError, few
from oscaxr.figures.analysis_paper import Build, Results
from oscaxr.figures.material import Compared
from oscaxr.figures.session_results import Recipe
from oscaxr.figures.session_tasks import Session

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAPERS: Final = ("dataset", "analysis")
_ALL: Final = (1, 2, 3)
_PERMUTATIONS: Final = 100_000


@dataclass(frozen=True)
class Panel:
    """One panel of a figure."""

    paper: str
    figure: int
    letter: str
    title: str
    functions: tuple[str, ...]
    """The public functions that it is made with."""
    recipes: tuple[Recipe, ...]
    """What is computed of each session."""
    build: Build
    draw: "Callable[[Figure, Results], None]"
    sessions: tuple[int, ...] = _ALL
    """The numbers of the sessions that it shows."""
    mice: tuple[int, ...] = ()
    """The mice that the paper chose as examples, in whose place others may stand; or all."""
    compared: Compared = field(default_factory=Compared)
    full: int = _PERMUTATIONS
    """How often groups are permuted in the paper."""
    tails: int = 0
    """Tails in which shuffles of sessions are tested against each other; 0 where none are."""
    size: tuple[float, float] = (9.0, 4.2)

    @property
    def name(self) -> str:
        """Number and letter."""
        return f"{self.figure}{self.letter}"

    def chosen(self, sessions: Sequence[Session]) -> list[Session]:
        """Return those of the sessions that the panel shows."""
        numbered = [one for one in sessions if one.number in self.sessions]
        if not self.mice:
            return numbered
        # One mouse stands for all, or each group has examples of its own.
        is_one = len(self.mice) == 1
        examples: set[object] = set()
        for group in dict.fromkeys("" if is_one else one.group for one in numbered):
            own = [one.facts for one in numbered if is_one or one.group == group]
            named = {facts["mouse_id"] for facts in own if facts.get("mouse") in self.mice}
            examples |= named or {min(facts["mouse_id"] for facts in own)}
        return [one for one in numbered if one.facts["mouse_id"] in examples]


_of = partial(Panel, "analysis")
_TRACES: Final = ("mean_traces", "pool", "group_means")
_DIFFERENCES: Final = ("response_difference", "pool", "group_differences")
_RELATIVE: Final = ("frame_responses", "pool", "relative_responses", "group_means")
_SIGNIFICANT: Final = ("usi", "pool", "percent_significant")
_STATISTICS: Final = ("usi", "pool", "usi_statistics")
_COMPARED: Final = ("pool", "compare_stimuli")
_CORRELATED: Final = ("usi", "pool", "usi_correlations")
_DECODED: Final = ("decode", "pool", "group_decoding")
_SHARES: Final = ("value_shares", "pool", "group_means")
_CORRELATIONS: Final = ("roi_correlations", "value_shares", "pool")
_TESTED: Final = Compared(sessions=1, pairs=1)
_OF_PAIRS: Final = Compared(pairs=1)
_OF_BOTH_KINDS: Final = Compared(pairs=2)
_OF_GROUPS: Final = Compared(groups=1, once=1)
_IN_A_ROW: Final = Compared(pairs=1, consecutive=True)
_FIRST: Final = (1,)

_ANALYSIS: Final = (
    _of(
        1, "B", "imaging planes", ("tracked",), (of_session.FIELD,), dataset.fields,
        pictures.projections, sessions=_FIRST, mice=(1, 4, 6, 11),
    ),
    _of(
        1, "D", "tracked ROIs over sessions", ("tracked",), (of_session.FIELD,), dataset.fields,
        pictures.tracked_fields, mice=(4, 11),
    ),
    _of(
        2, "A", "responses to Gabor sequences", _TRACES, (of_session.TRACES,),
        analysis.traces(of_session.TRACES), groups.traces,
    ),
    _of(
        2, "B", "unexpected less expected Gabor responses", _DIFFERENCES,
        (of_session.DIFFERENCES,), analysis.differences(of_session.DIFFERENCES),
        groups.differences, compared=_TESTED, tails=2,
    ),
    _of(
        2, "C", "Gabor responses relative to session 1", _RELATIVE, (of_session.FRAMES,),
        analysis.relative(of_session.FRAMES), groups.relative, compared=_OF_BOTH_KINDS,
    ),
    _of(
        3, "A", "responses to Gabor sequences, early and late in sessions", _TRACES,
        (of_session.EARLY, of_session.LATE), analysis.traces_of_thirds, groups.traces,
    ),
    _of(
        3, "B", "differences early and late in sessions",
        ("response_difference", "pool", "group_means", "block_differences"),
        (of_session.THIRDS,), analysis.differences_of_thirds, groups.thirds,
        compared=Compared(sessions=1),
    ),
    _of(
        4, "A", "example ROIs", ("usi", "mean_traces", "pool"),
        (of_session.INDICES, of_session.TRACES), analysis.example_rois, pictures.example_rois,
        sessions=_FIRST,
    ),
    _of(
        4, "B", "index of an example ROI among shuffles", ("usi",),
        (of_session.EXAMPLE_NULL,), analysis.example_null, pictures.example_null,
        sessions=_FIRST, mice=(1,), size=(4.5, 3.2),
    ),
    _of(
        4, "C", "distribution of Gabor indices", ("usi", "pool"), (of_session.INDICES,),
        analysis.distribution, groups.distributions, sessions=_FIRST,
    ),
    _of(
        4, "D", "significant Gabor indices", _SIGNIFICANT, (of_session.INDICES,),
        analysis.significant(of_session.INDICES), groups.significant, sessions=_FIRST,
        compared=Compared(sessions=2),
    ),
    _of(
        4, "E", "significant Gabor indices, orientations of both D and U", _SIGNIFICANT,
        (of_session.COMMON,), analysis.significant(of_session.COMMON), groups.significant,
        sessions=_FIRST, compared=Compared(sessions=2),
    ),
    _of(
        4, "F", "Gabor indices of tracked ROIs", ("usi", "pool"), (of_session.TRACKED,),
        analysis.tracked_indices(of_session.TRACKED), groups.tracked_indices,
    ),
    _of(
        4, "G", "mean absolute Gabor indices of tracked ROIs", _STATISTICS, (of_session.TRACKED,),
        analysis.statistics(of_session.TRACKED, "mean", absolute=True), groups.statistics,
        compared=_OF_PAIRS,
    ),
    _of(
        4, "H", "variance of Gabor indices of tracked ROIs", _STATISTICS, (of_session.TRACKED,),
        analysis.statistics(of_session.TRACKED, "variance"), groups.statistics,
        compared=_OF_PAIRS,
    ),
    _of(
        5, "A", "significant Gabor indices by mouse", _SIGNIFICANT, (of_session.INDICES,),
        analysis.significant(of_session.INDICES, "mouse_id"), groups.significant,
        sessions=_FIRST, compared=Compared(recordings=2),
    ),
    _of(
        5, "B", "Gabor responses of tracked ROIs relative to session 1", _RELATIVE,
        (of_session.TRACKED_FRAMES,), analysis.relative(of_session.TRACKED_FRAMES, tracked=True),
        groups.relative, compared=_OF_BOTH_KINDS,
    ),
    _of(
        5, "C", "mean absolute Gabor indices of tracked ROIs by mouse", _STATISTICS,
        (of_session.TRACKED,),
        analysis.statistics(of_session.TRACKED, "mean", "mouse_id", absolute=True),
        groups.statistics, compared=_OF_PAIRS,
    ),
    _of(
        6, "B", "responses around unexpected visual flow", _TRACES, (of_session.FLOW_TRACES,),
        analysis.traces(of_session.FLOW_TRACES), groups.traces,
    ),
    _of(
        6, "C", "responses after less before unexpected visual flow", _DIFFERENCES,
        (of_session.FLOW_DIFFERENCES,), analysis.differences(of_session.FLOW_DIFFERENCES),
        groups.differences, compared=_TESTED, tails=2,
    ),
    _of(
        7, "A", "visual flow responses relative to session 1", _RELATIVE,
        (of_session.FLOW_FRAMES,), analysis.relative(of_session.FLOW_FRAMES), groups.relative,
        compared=_OF_BOTH_KINDS,
    ),
    _of(
        7, "B", "change of unexpected responses by stimulus",
        ("frame_responses", "relative_responses", *_COMPARED),
        (of_session.FRAMES, of_session.FLOW_FRAMES), analysis.responses_by_stimulus,
        groups.comparison, sessions=(1, 3), compared=_OF_GROUPS,
    ),
    _of(
        7, "C", "visual flow indices of tracked ROIs", ("usi", "pool"),
        (of_session.FLOW_TRACKED,), analysis.tracked_indices(of_session.FLOW_TRACKED),
        groups.tracked_indices,
    ),
    _of(
        7, "D", "mean absolute visual flow indices of tracked ROIs", _STATISTICS,
        (of_session.FLOW_TRACKED,),
        analysis.statistics(of_session.FLOW_TRACKED, "mean", absolute=True), groups.statistics,
        compared=_OF_PAIRS,
    ),
    _of(
        7, "E", "change of absolute indices by stimulus", ("usi", *_COMPARED),
        (of_session.TRACKED, of_session.FLOW_TRACKED), analysis.indices_by_stimulus,
        groups.comparison, sessions=(1, 3), compared=_OF_GROUPS,
    ),
    _of(
        8, "A", "running and pupil around Gabor sequences", _TRACES,
        (of_session.RUNNING, of_session.PUPIL), analysis.behaviour, groups.traces,
        sessions=_FIRST, size=(9.0, 6.0),
    ),
    _of(
        8, "B", "running and pupil in unexpected less expected runs",
        ("block_responses", "pool", "block_differences"), (of_session.BLOCKS,), analysis.blocks,
        groups.blocks, sessions=_FIRST, full=10_000,
    ),
    *(
        _of(
            9, letter, f"{words}: sessions {first} and {second}", _CORRELATED, (recipe,),
            analysis.scattered(recipe), groups.scattered, sessions=(first, second),
            compared=_OF_BOTH_KINDS,
        )
        for words, recipe, letters in (
            ("Gabor indices", of_session.TRACKED, "AB"),
            ("visual flow indices", of_session.FLOW_TRACKED, "DE"),
        )
        for letter, (first, second) in zip(letters, ((1, 2), (2, 3)), strict=True)
    ),
    *(
        _of(
            9, letter, words, _CORRELATED, (recipe,), analysis.correlations(recipe),
            groups.correlations, compared=_IN_A_ROW,
        )
        for letter, words, recipe in (
            ("C", "correlations of Gabor indices over sessions", of_session.TRACKED),
            ("F", "correlations of visual flow indices over sessions", of_session.FLOW_TRACKED),
        )
    ),
    *(
        _of(
            10, letter, f"decoding of the orientation of {frame}", _DECODED, (recipe,),
            analysis.decoded(recipe), groups.decoding, compared=Compared(sessions=5), tails=1,
        )
        for letter, (frame, recipe) in zip("ABCDE", of_session.DECODED.items(), strict=True)
    ),
    *(
        _of(
            11, letter, f"decoding of D and U over time, session {number}", _DECODED,
            tuple(of_session.COURSES.values()), analysis.decoded_over_time,
            groups.decoding_over_time, sessions=(number,), compared=Compared(sessions=2), tails=1,
            size=(9.0, 6.0),
        )
        for letter, number in zip("ABC", _ALL, strict=True)
    ),
)  # fmt: skip

_in = partial(Panel, "dataset")

_DATASET: Final = (
    _in(
        1, "B", "imaging planes", ("tracked",), (of_session.FIELD,), dataset.fields,
        pictures.projections, sessions=_FIRST, mice=(1, 4, 6, 11),
    ),
    _in(
        2, "B", "tracked ROIs over sessions", ("tracked",), (of_session.FIELD,), dataset.fields,
        pictures.tracked_fields, mice=(4, 11),
    ),
    _in(
        2, "C", "tracked ROIs over sessions, more mice", ("tracked",), (of_session.FIELD,),
        dataset.fields, pictures.tracked_fields, mice=(3, 4, 6, 11),
    ),
    _in(
        2, "D", "tracked ROIs over sessions, enlarged", ("tracked",), (of_session.FIELD,),
        dataset.fields, pictures.enlarged_fields, mice=(3, 4, 6, 11),
    ),
    *(
        _in(
            5, letter, words, ("split", "snr"), (of_session.EXAMPLES[kind],),
            dataset.examples(of_session.EXAMPLES[kind]), pictures.example_responses,
            sessions=_FIRST, size=(9.0, 6.0),
        )
        for letter, kind, words in (
            ("A", "expected", "example responses to expected Gabor sequences"),
            ("B", "unexpected", "example responses to unexpected Gabor sequences"),
            ("C", "nasal", "example responses to unexpected nasal flow"),
            ("D", "temp", "example responses to unexpected temporal flow"),
        )
    ),
    _in(
        6, "A", "running and pupil of a session", (), (of_session.BEHAVIOUR,), dataset.behaviour,
        pictures.behaviour, sessions=_FIRST, mice=(1,), size=(9.0, 4.0),
    ),
    _in(
        6, "B", "running and pupil of all sessions", _SHARES, (*of_session.SHARES.values(),),
        dataset.histograms, pictures.histograms, size=(9.0, 6.0),
    ),
    _in(
        7, "A", "signal-to-noise ratio of ROIs", ("snr",), (of_session.QUALITY,),
        dataset.quality("snr"), pictures.quality,
    ),
    _in(
        7, "B", "mean signal of ROIs", ("snr",), (of_session.QUALITY,),
        dataset.quality("signal"), pictures.quality,
    ),
    _in(
        7, "C", "correlations of ROIs", _CORRELATIONS, (of_session.CORRELATIONS,),
        dataset.correlations, pictures.roi_correlations,
    ),
    *(
        _in(
            8, letter, f"matching of {words} ROIs", ("tracked", "read_matches"), (),
            dataset.matching, pictures.say_nothing,
        )
        for letter, words in (("A", "dendritic"), ("B", "somatic"))
    ),
    _in(
        9, "A", "responses when stimuli begin", _TRACES, (of_session.ONSET,),
        analysis.traces(of_session.ONSET), groups.traces,
    ),
    _in(
        9, "B", "responses when stimuli end", _TRACES, (of_session.OFFSET,),
        analysis.traces(of_session.OFFSET), groups.traces,
    ),
)  # fmt: skip

PANELS: Final = (*_DATASET, *_ANALYSIS)
"""All of them, in order."""


def panels(paper: str | None = None, figure: int | str | None = None) -> list[Panel]:
    """Return the panels of a paper, a figure, or one panel.

    Parameters
    ----------
    paper : {"analysis", "dataset"}, optional
        Gillon, Pina et al. (2024), or Gillon, Lecoq et al. (2023); by default both.
    figure : int or str, optional
        Number of a figure, or of one panel of it, as ``"4D"``; by default all.

    Returns
    -------
    list of Panel
        With ``paper``, ``figure``, ``letter``, ``title``, ``functions`` (the public functions that
        it is made with), ``recipes`` (what is computed of each session) and ``sessions``.

    Raises
    ------
    CriterionError
        If a paper is not known, or has no such figure with data.

    Examples
    --------
    >>> [panel.name for panel in panels("analysis", 4)]
    ['4A', '4B', '4C', '4D', '4E', '4F', '4G', '4H']
    """
    if paper is not None and paper not in PAPERS:
        raise CriterionError(f"paper={paper!r}: it is {' or '.join(map(repr, PAPERS))}")
    own = [panel for panel in PANELS if paper in (None, panel.paper)]
    if figure is None:
        return sorted(own, key=_place)
    asked = str(figure).upper()
    found = [panel for panel in own if asked in (str(panel.figure), panel.name)]
    if not found:
        there = dict.fromkeys(panel.figure for panel in sorted(own, key=_place))
        who = "the papers have" if paper is None else f"the {paper} paper has"
        raise CriterionError(
            f"figure={figure!r}: {who} no such figure or panel with data; figures with data are "
            f"{few(there, 40)}"
        )
    return sorted(found, key=_place)


def _place(panel: Panel) -> tuple[int, int, str]:
    return PAPERS.index(panel.paper), panel.figure, panel.letter
