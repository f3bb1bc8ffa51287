"""The published frames: same values, labels and order, there and back."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import oscaxr as ox
from oscaxr.bridges.pandas_frames import from_hierarchical_frame, to_hierarchical_frame
from oscaxr.errors import SchemaError

NAMES = ["dff", "run_velocity", "pupil_diameter", "pupil_center_shift"]


class TestHierarchical:
    def test_levels_of_roi_data(self, u):
        frame = to_hierarchical_frame(u)
        assert frame.index.names == ["ROIs", "sequences", "time_values"]
        assert frame.columns.names == [
            "datatype",
            "bad_rois_removed",
            "scaled",
            "baseline",
            "integrated",
            "smoothing",
            "fluorescence",
        ]
        assert frame.columns[0] == ("roi_traces", "yes", "no", "no", "no", "no", "dff")
        np.testing.assert_array_equal(frame.to_numpy().reshape(u.shape), u.values)
        np.testing.assert_array_equal(frame.index.unique("ROIs"), u.roi)
        np.testing.assert_array_equal(frame.index.unique("sequences"), range(u.sizes["sequence"]))

    def test_levels_of_behaviour(self, memory_session, segments):
        run = memory_session.osca.sequences(
            "run_velocity", segments, pre=0.5, post=0.5, interpolate=True
        )
        frame = to_hierarchical_frame(run)
        assert frame.index.names == ["sequences", "time_values"]
        assert dict(zip(frame.columns.names, frame.columns[0], strict=True)) == {
            "datatype": "run_velocity",
            "interpolated": "yes",
            "scaled": "no",
            "baseline": "no",
            "integrated": "no",
            "filter_ks": 5,
            "diff_thr": 50,
        }
        pupil = memory_session.osca.sequences("pupil_diameter", segments, pre=0.5, post=0.5)
        frame = to_hierarchical_frame(pupil.osca.integrate())
        assert frame.index.names == ["sequences"]
        assert frame.columns.names == [
            "datatype",
            "interpolated",
            "scaled",
            "baseline",
            "integrated",
        ]
        assert frame.columns[0] == ("pup_diam", "no", "no", "no", "yes")

    def test_processing_is_told(self, memory_session, u):
        done = ox.scale(u, memory_session).osca.baseline(0.25).osca.smooth(3).osca.integrate()
        (column,) = to_hierarchical_frame(done).columns
        assert column == ("roi_traces", "yes", "yes", 0.25, "yes", "3", "dff")

    @pytest.mark.parametrize("name", NAMES)
    def test_there_and_back(self, memory_session, segments, name):
        for array in (
            memory_session.osca.sequences(name, segments, pre=0.5, post=0.5),
            memory_session.osca.sequences(name, segments, pre=0, post=0.3, scale=True),
            memory_session.osca.sequences(name, segments, pre=0.5, post=0.5).osca.integrate(),
        ):
            frame = to_hierarchical_frame(array)
            xr.testing.assert_identical(from_hierarchical_frame(frame, like=array), array)
            alone = from_hierarchical_frame(frame)
            assert alone.name == name
            assert alone.attrs["scaled"] == array.attrs["scaled"]
            np.testing.assert_array_equal(alone.values, array.values)
            if "roi" in array.dims:
                np.testing.assert_array_equal(alone.roi, array.roi)

    def test_other_order_of_dims(self, u):
        turned = u.transpose("rel_time", "roi", "sequence")
        pd.testing.assert_frame_equal(to_hierarchical_frame(turned), to_hierarchical_frame(u))
        back = from_hierarchical_frame(to_hierarchical_frame(turned), like=turned)
        xr.testing.assert_identical(back, turned)

    def test_tracked_order_is_kept(self, memory_session, segments):
        tracked = memory_session.osca.tracked()
        rows = tracked.roi.values
        assert not (np.diff(rows) > 0).all()
        array = tracked.osca.sequences("dff", segments, pre=0.5, post=0.5)
        frame = to_hierarchical_frame(array)
        np.testing.assert_array_equal(frame.index.unique("ROIs"), rows)
        xr.testing.assert_identical(from_hierarchical_frame(frame, like=array), array)
        first = frame.loc[rows[0]].to_numpy().ravel()
        np.testing.assert_array_equal(first, array.isel(tracking_id=0).values.ravel())
        # Pandas sorts at every turn; that must not change whose the values are.
        shuffled = frame.sample(frac=1, random_state=0)
        sorted_ = from_hierarchical_frame(frame.sort_index())
        np.testing.assert_array_equal(sorted_.sel(roi=rows), array.transpose("tracking_id", ...))
        found = from_hierarchical_frame(shuffled)
        for roi in rows:
            ours = found.sel(roi=roi).sortby(["sequence", "rel_time"])
            theirs = array.sel(tracking_id=array.tracking_id[list(rows).index(roi)])
            np.testing.assert_array_equal(ours.values, theirs.values)

    def test_published_labels_of_time(self, u):
        times = to_hierarchical_frame(u, window=(0.5, 0.5)).index.unique("time_values")
        np.testing.assert_array_equal(times, np.linspace(-0.5, 0.5, u.sizes["rel_time"]))
        own = to_hierarchical_frame(u).index.unique("time_values")
        np.testing.assert_array_equal(own, u.rel_time)

    def test_no_sequences(self, memory_session):
        none = memory_session.osca.sequences("dff", [], pre=0.5, post=0.5)
        assert len(to_hierarchical_frame(none)) == 0

    def test_refusals(self, memory_session, u):
        frame = to_hierarchical_frame(u)
        with pytest.raises(SchemaError, match="no array of sequences"):
            to_hierarchical_frame(memory_session.dff)
        with pytest.raises(SchemaError, match="missing or there twice"):
            from_hierarchical_frame(frame.iloc[1:])
        with pytest.raises(SchemaError, match="missing or there twice"):
            from_hierarchical_frame(pd.concat([frame.iloc[1:], frame.iloc[-1:]]))
        with pytest.raises(SchemaError, match="does not fit"):
            from_hierarchical_frame(frame, like=u.isel(roi=slice(3)))
        with pytest.raises(SchemaError, match="its ROIs are"):
            from_hierarchical_frame(frame, like=u.isel(roi=slice(None, None, -1)))
        with pytest.raises(SchemaError, match="columns"):
            from_hierarchical_frame(pd.concat([frame, frame], axis=1))
        with pytest.raises(SchemaError, match="levels"):
            from_hierarchical_frame(frame.rename_axis(index={"ROIs": "cells"}))

    def test_older_name_of_a_level(self, u):
        frame = to_hierarchical_frame(u)
        frame = frame.rename_axis(columns={"bad_rois_removed": "nan_rois_removed"})
        xr.testing.assert_identical(from_hierarchical_frame(frame, like=u), u)
