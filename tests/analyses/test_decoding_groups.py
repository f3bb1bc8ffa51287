"""Decoding over the mice of a group, against plain loops."""

from functools import partial

import numpy as np
import pytest
import xarray as xr

import oscaxr as ox
from oscaxr.analyses import decode, group_decoding, pool
from oscaxr.errors import CriterionError, MissingVariableError, SchemaError, SessionMismatchError

pytest.importorskip("sklearn")

OPTIONS = {"counts": "all", "splits": 3, "shuffles": 40, "seed": 1}
pooled = partial(pool, dim="split")


def sessions_of(n_mice=3, n_sessions=2, **options):
    """Decoded sessions of several mice."""
    ds = ox.sample.session(n_rois=4, scale=0.05)
    found = []
    for mouse in range(n_mice):
        for number in range(1, n_sessions + 1):
            facts = {"mouse_id": mouse, "session": number, "session_id": 10 * mouse + number}
            found.append(decode(ds.assign_coords(facts), **{**OPTIONS, **options}))
    return found


@pytest.fixture(scope="module")
def decoded():
    return sessions_of()


def test_equals_a_plain_loop(decoded):
    found = group_decoding(pooled(decoded), comparisons=2)
    assert found["session"].values.tolist() == [1, 2]
    for place in range(2):
        own = decoded[place::2]
        means = [float(one["mean"]) for one in own]
        null = [np.mean([one["shuffled"][k] for one in own]) for k in range(40)]
        group = found.isel(group=0, session=place)
        np.testing.assert_allclose(group["mean"], np.mean(means))
        np.testing.assert_allclose(group["sem"], np.std(means, ddof=1) / np.sqrt(3))
        np.testing.assert_allclose(group["null"], np.percentile(null, [0, 50, 97.5]))
        ties = np.isclose(null, np.mean(means), rtol=1e-12)
        above = ((null > np.mean(means)) & ~ties).mean() + ties.mean() / 2
        np.testing.assert_allclose(group["p"], min(1, 2 * above))
        assert group["n_mice"] == 3


def test_time_courses_are_of_the_frames_that_all_have():
    courses = sessions_of(2, 1, time_course=True, window=(-0.1, 0.1), shuffles=0)
    short = courses[1].isel(rel_time=slice(1, None))
    found = group_decoding(pooled([courses[0], short]))
    assert found["rel_frame"].values.tolist() == [-2, -1, 0, 1, 2]
    both = (courses[0]["mean"].values[1:] + short["mean"].values) / 2
    np.testing.assert_allclose(found["mean"][0, 0], both)
    np.testing.assert_allclose(found["rel_time"], short["rel_time"])
    assert "p" not in found


def test_a_course_has_a_p_for_each_frame():
    courses = sessions_of(2, 1, time_course=True, window=(-0.1, 0.1))
    found = group_decoding(pooled(courses))
    null = np.mean([one["shuffled"].values for one in courses], axis=0)
    assert found["p"].dims == ("group", "session", "rel_frame")
    np.testing.assert_allclose(found["null"][0, 0, :, 1], np.median(null, axis=0))


def test_results_can_be_written(decoded, tmp_path):
    found = group_decoding(pooled(decoded))
    found.to_netcdf(tmp_path / "groups.nc")
    with xr.open_dataset(tmp_path / "groups.nc") as read:
        xr.testing.assert_equal(read, found)


def test_one_mouse_has_no_error_and_what_is_not_there_is_nan(decoded):
    found = group_decoding(pooled([decoded[0], decoded[1].assign_coords(line="L5-Rbp4")]))
    assert found["sem"].isnull().all()
    assert found["mean"].notnull().values.tolist() == [[True, False], [False, True]]
    assert found["n_mice"].values.tolist() == [[1, 0], [0, 1]]


def test_bad_input(decoded):
    with pytest.raises(MissingVariableError, match="pool"):
        group_decoding(decoded[0])
    with pytest.raises(MissingVariableError, match="no results of decode"):
        group_decoding(pooled([one.drop_vars("mean") for one in decoded]))
    with pytest.raises(SessionMismatchError, match="mice 0, 1, 2 have several"):
        group_decoding(pooled(decoded, by=("line", "plane")))
    with pytest.raises(SessionMismatchError, match="with other penalty"):
        group_decoding(pooled([decoded[0], decoded[1].assign_attrs(penalty=2.0)]))
    # Of A, with the same orientations, beside D.
    with pytest.raises(SessionMismatchError, match="with other criteria"):
        group_decoding(pooled([decoded[0], *sessions_of(1, 2, gabor_frame="A")[1:]]))
    with pytest.raises(SchemaError, match="lie beside each other"):
        group_decoding(pooled([decoded[0], *sessions_of(2, 1, shuffles=20)[1:]]))
    with pytest.raises(CriterionError, match="40 permutations cannot resolve"):
        group_decoding(pooled(decoded), comparisons=60)
