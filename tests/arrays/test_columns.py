"""Going through a recording ROI by ROI: how the work is shared."""

import numpy as np

from oscaxr.arrays.columns import map_columns, thread_count


def test_threads_that_share_the_work_start_no_others():
    counts = map_columns(
        lambda columns: np.zeros((columns.stop - columns.start, 10)),
        10,
        64,
        lambda rows, columns: thread_count(),
        threads=2,
        align=1,
    )
    assert set(counts) == {1}
    assert thread_count() > 1
