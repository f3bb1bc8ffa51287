"""The unexpected-stimulus index of each ROI of a session."""

from typing import Any

import xarray as xr

from oscaxr.analyses.discrimination import GROUP, discrimination_index
from oscaxr.analyses.shuffled_indices import Operation
from oscaxr.analyses.splits import Split
from oscaxr.analyses.splits import split as split_session
from oscaxr.model import names as n


def usi(
    ds: xr.Dataset,
    stimulus: str = n.GABORS,
    split: Split = "unexpected",
    operation: Operation = "d-prime",
    permutations: int = 0,
    seed: int | None = None,
    tracked: bool = False,
    keep_null: bool = False,
    **options: Any,
) -> xr.Dataset:
    """Return the unexpected-stimulus index of every ROI of a session.

    Parameters
    ----------
    ds : xarray.Dataset
        A session.
    stimulus : {"gabors", "visflow"}, optional
        The stimulus.
    split : str, optional
        The groups that are compared, the second against the first: see :func:`split`. The papers'
        index is that of ``"unexpected"`` for Gabors, U against D frames, 0 to 0.6 s; and that of
        ``"unexpected_onset"`` for visual flow, 2 s after against 2 s before.
    operation : {"d-prime", "diff", "rel_diff"}, optional
        Of the means m and variances v (ddof 0) over the sequences of the two groups:
        (m2 - m1) / sqrt((v2 + v1) / 2), as in the papers; m2 - m1; or (m2 - m1) / (m2 + m1).
    permutations : int, optional
        How often the labels are shuffled over the sequences, 40 times or more; the papers' number
        is 10,000. With 0 there is the index alone.
    seed : int, optional
        Seed of the shuffling, zero or more; drawn anew by default. The session id, where it is
        known, is mixed into it, so that the shuffles of different sessions are independent of each
        other, and the same in whatever order or company sessions are analysed.
    tracked : bool, optional
        Take the tracked ROIs only, in tracking order.
    keep_null : bool, optional
        Whether to return ``null``, the indices of the shuffled labels, with the dim
        ``permutation``, too: 8 bytes for each permutation and ROI. Of a few ROIs, give
        ``ds.sel(roi=[...])``: their shuffles are the same.
    **options
        Further arguments of :func:`split`: ``window``, ``third``, ``common_orientations``, ``name``
        of another variable, ``scale``, ``invalid``, and criteria such as
        ``main_flow_direction="temp"``.

    Returns
    -------
    xarray.Dataset
        ``index``, ``n_sequences`` (with the dim ``group``) and, with permutations, ``percentile``
        and ``significant``, over ``roi`` or ``tracking_id``, with the coordinates of the ROIs and
        of the session; see :func:`discrimination_index`.

    Raises
    ------
    RenamedError
        If a word of the published code is given for a split: the message has the one here.
    CriterionError
        If an argument is not known, a group has no segments, or a single one for d-prime, or there
        are too few permutations for any index to be significant.
    TrackingError
        If tracked ROIs are asked for and there are none.

    Warns
    -----
    DroppedSequencesWarning
        If windows leave the recording.

    Notes
    -----
    The definitions of Gillon, Pina et al. (2024). dF/F is scaled for ``"diff"`` and ``"rel_diff"``,
    as in the papers; scaling an ROI's trace does not change its d-prime, so there it is not, unless
    ``scale=True``. Traces are read in blocks of sequences, and never more than about 128 MB of
    windows are in memory.

    For tracked ROIs over sessions, align the results:
    ``ox.align_tracked([usi(ds, tracked=True) for ds in sessions])``.

    Examples
    --------
    >>> import oscaxr as ox
    >>> ds = ox.sample.session(n_rois=4, scale=0.05)
    >>> found = usi(ds, permutations=100, seed=0)
    >>> found["index"].dims, found.attrs["permutations"]
    (('roi',), 100)
    """
    if operation == "d-prime":
        options = {"scale": False, **options}
    groups = split_session(ds, split, stimulus, tracked=tracked, **options)
    first, second = groups.values()
    found = discrimination_index(
        first,
        second,
        operation=operation,
        permutations=permutations,
        seed=seed,
        invalid=options.get("invalid"),
        keep_null=keep_null,
    )
    found["index"].attrs["long_name"] = "unexpected-stimulus index"
    told = {"split": split, "stimulus": first.attrs["stimulus"]}
    return found.assign_coords({GROUP: list(groups)}).assign_attrs(told)
