"""Results of sessions as one row of ROIs: nothing mixed up, nothing left out in silence."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import oscaxr as ox
from oscaxr.analyses import pool
from oscaxr.analyses.pooling import Cells
from oscaxr.errors import AmbiguousSessionError, MissingVariableError, SchemaError, TrackingError


def result(session_id, values, *, mouse_id=1, session=1, dim="roi", labels=None, **facts):
    labels = np.arange(len(values)) if labels is None else labels
    facts = {"line": "L23-Cux2", "plane": "soma", **facts}
    return xr.Dataset(
        {"index": (dim, np.asarray(values, float))},
        {dim: labels, "session_id": session_id, "mouse_id": mouse_id, "session": session, **facts},
    )


FOUR = [
    result(11, [1, 2, 3]),
    result(12, [4, 5], session=2),
    result(21, [6], mouse_id=2, plane="dend"),
    result(31, [7, 8], mouse_id=3),
]


def test_rois_keep_who_they_are():
    pooled = pool(FOUR)
    assert pooled["index"].dims == ("roi",)
    rows = list(
        zip(
            *(pooled[name].values.tolist() for name in ("session_id", "session_roi", "index")),
            strict=True,
        )
    )
    assert rows == [
        *[(11, 0, 1.0), (11, 1, 2.0), (11, 2, 3.0), (12, 0, 4.0), (12, 1, 5.0)],
        *[(21, 0, 6.0), (31, 0, 7.0), (31, 1, 8.0)],
    ]
    assert pooled.mouse_id.values.tolist() == [1] * 5 + [2] + [3] * 2
    assert set(pooled.group.values) == {"L23-Cux2 soma", "L23-Cux2 dend"}
    assert pooled.n_pooled.sel(pooled_session=[11, 12, 21, 31]).values.tolist() == [3, 2, 1, 2]
    grouped = pooled["index"].groupby(["group", "session"]).mean()
    assert float(grouped.sel(group="L23-Cux2 soma", session=1)) == np.mean([1, 2, 3, 7, 8])


@given(st.permutations(range(4)), st.randoms(use_true_random=False))
def test_order_of_sessions_and_rois_does_not_matter(order, random):
    shuffled = []
    for place in order:
        rows = list(range(FOUR[place].sizes["roi"]))
        random.shuffle(rows)
        shuffled.append(FOUR[place].isel(roi=rows))
    xr.testing.assert_identical(pool(shuffled), pool(FOUR))


def test_takes_what_map_sessions_returns():
    tree = xr.DataTree.from_dict({f"/mouse_{k}/session_1": one for k, one in enumerate(FOUR)})
    xr.testing.assert_identical(pool(tree), pool(FOUR))
    arrays = pool({str(k): one["index"].rename(None) for k, one in enumerate(FOUR)})
    np.testing.assert_array_equal(arrays["result"], pool(FOUR)["index"])


@pytest.mark.parametrize(("by", "group"), [("session", "all"), (["mouse_id"], "1")])
def test_groups_by_other_words(by, group):
    pooled = pool(FOUR, by)
    assert group in pooled.group.values
    assert Cells(pooled).by == list(np.atleast_1d(by))


def test_tracked_rois_are_in_tracking_order_and_paired():
    one = result(11, [1, 2, 3], dim="tracking_id", labels=[2, 0, 1])
    other = result(12, [4, 5, 6], dim="tracking_id", session=2)
    pooled = pool([other, one])
    assert pooled.attrs["tracked"] == 1
    assert pooled["index"].values.tolist() == [2, 3, 1, 4, 5, 6]
    rows = Cells(pooled).paired(0, 0, 1)
    assert pooled.tracking_id.values[np.array(rows)].tolist() == [[0, 1, 2]] * 2
    fewer = pool([one.isel(tracking_id=[0, 1]), other])
    with pytest.raises(TrackingError, match=r"not have the same tracked ROIs.*\(1, 1\)"):
        Cells(fewer).paired(0, 0, 1)


def windows(session_id, first, last, rate):
    frames = np.arange(first, last)
    return (
        result(session_id, [0.0])
        .assign(trace=(("roi", "rel_time"), frames[None] * 1.0))
        .assign_coords(rel_time=frames / rate, rel_frame=("rel_time", frames))
    )


def test_windows_are_cut_to_the_frames_of_all():
    pooled = pool([windows(1, -3, 6, 30.0), windows(2, -3, 5, 31.0)])
    assert pooled["trace"].dims == ("roi", "rel_frame")
    assert pooled.rel_frame.values.tolist() == [*range(-3, 5)]
    np.testing.assert_array_equal(pooled.trace, [np.arange(-3, 5)] * 2)
    seconds = (np.arange(-3, 5) / 30 + np.arange(-3, 5) / 31) / 2
    np.testing.assert_allclose(pooled.rel_time, seconds)
    with pytest.raises(SchemaError, match="no frame in common"):
        pool([windows(1, -3, 0, 30.0), windows(2, 0, 5, 30.0)])
    with pytest.raises(SchemaError, match="rel_frame"):
        pool([windows(1, -3, 0, 30.0).drop_vars("rel_frame")])


def test_what_is_said_of_sessions_lies_along_them():
    whole = [one.assign(null=("permutation", np.full(3, k))) for k, one in enumerate(FOUR)]
    pooled = pool(whole)
    assert pooled.null.dims == ("pooled_session", "permutation")
    assert float(pooled.null.sel(pooled_session=21)[0]) == 2
    whole[1] = FOUR[1].assign(null=("permutation", np.zeros(4)))
    with pytest.raises(SchemaError, match="do not lie beside each other"):
        pool(whole)


def test_other_things_than_rois_in_a_row():
    results = [
        one.drop_dims("roi").assign(difference=("pair", np.arange(k + 1.0)))
        for k, one in enumerate(FOUR)
    ]
    pooled = pool(results, dim="pair")
    assert pooled.difference.values.tolist() == [0, 0, 1, 0, 1, 2, 0, 1, 2, 3]
    assert pooled.session_pair.values.tolist() == [0, 0, 1, 0, 1, 2, 0, 1, 2, 3]
    assert pooled.mouse_id.sizes == {"pair": 10}
    assert Cells(pooled).counts()["n_pairs"][1].tolist() == [[3, 0], [5, 2]]
    with pytest.raises(SchemaError, match="session 11: the result has no dim 'roi', but pair"):
        pool(results)


def test_a_session_without_rois():
    pooled = pool([FOUR[0], result(13, [], session=3)])
    assert pooled.sizes["roi"] == 3
    assert pooled.n_pooled.values.tolist() == [3, 0]


def test_all_that_is_wrong_is_said_at_once():
    bare = FOUR[0].drop_vars(["line", "mouse_id"])
    with pytest.raises(SchemaError, match=r"(?s)position 0: lacks line, mouse_id.*position 1"):
        pool([bare, bare])
    with pytest.raises(SchemaError, match="differ in index, other"):
        pool([FOUR[0], FOUR[1].rename(index="other")])
    with pytest.raises(SchemaError, match="differ in index"):
        pool([FOUR[0], result(12, [1], dim="tracking_id")])
    levels = [one.expand_dims(orientation=[k]) for k, one in enumerate(FOUR)]
    with pytest.raises(SchemaError, match=r"do not lie beside each other.*orientation"):
        pool(levels)
    with pytest.raises(AmbiguousSessionError, match=r"\[11\]"):
        pool([*FOUR, FOUR[0]])
    with pytest.raises(SchemaError, match="no results"):
        pool([])
    with pytest.raises(SchemaError, match="is a float"):
        pool([1.0])
    with pytest.raises(MissingVariableError, match=r"analyses\.pool"):
        Cells(FOUR[0])


@pytest.mark.parametrize("word", ["stimulus", "split", "operation", "against"])
def test_results_of_different_analyses_are_not_pooled(word):
    one, *others = [ds.assign_attrs({word: "this", "seed": k}) for k, ds in enumerate(FOUR)]
    assert pool([one, *others]).attrs[word] == "this"
    said = f"position 1 has {word}='other', session at position 0 'this'"
    with pytest.raises(SchemaError, match=said):
        pool([one, others[0].assign_attrs({word: "other"}), *others[1:]])


def test_pooled_results_can_be_written(tmp_path):
    pooled = pool(FOUR)
    pooled.to_netcdf(tmp_path / "pooled.nc")
    with xr.open_dataset(tmp_path / "pooled.nc") as again:
        xr.testing.assert_equal(again.load(), pooled)
        assert Cells(again).by == ["line", "plane", "session"]


def test_real_results_of_a_mouse():
    mouse = [ox.sample.session(spec) for spec in ox.sample.mouse_specs(scale=0.05, n_rois=4)]
    usis = [ox.analyses.usi(ds, permutations=40, seed=0, tracked=True) for ds in mouse]
    pooled = pool(usis)
    for one in usis:
        own = pooled.isel(roi=np.flatnonzero(pooled.session_id == int(one.session_id)))
        np.testing.assert_array_equal(own["index"], one["index"])
        np.testing.assert_array_equal(own.session_roi, one.roi)
        np.testing.assert_array_equal(own.tracking_id, one.tracking_id)
