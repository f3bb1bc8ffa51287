"""ROIs that the files list as invalid are left out, and it is said."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import oscaxr as ox
from oscaxr import analyses
from oscaxr.errors import CriterionError, InvalidRoiWarning, SessionMismatchError
from oscaxr.formats.original.files import read_tree
from small_sessions import small_spec

# Traces that were gone through would be told of in other words.
LISTED = "listed as invalid"
quiet = pytest.mark.filterwarnings(f"ignore:.*{LISTED}")


def taken(ds: xr.Dataset, **options: Any) -> xr.DataArray:
    return ds.osca.sequences("dff", ds.osca.select(gabor_frame="D"), post=0.6, **options)


@pytest.mark.parametrize("plane", ["soma", pytest.param("dend", marks=pytest.mark.slow)])
def test_sequences_have_the_rois_that_the_nwb_file_would_have(original_folders, tmp_path, plane):
    folder = original_folders[plane]
    spec = small_spec(
        plane=plane, mouse_id=int(folder.parent.name[6:]), session_id=int(folder.name[14:])
    )
    path = ox.sample.write_nwb(spec, tmp_path, dtype="float32")
    with ox.open_session(folder) as ds, ox.open_session(path) as nwb:
        with pytest.warns(InvalidRoiWarning, match=f"5 of 12 ROIs are {LISTED}") as caught:
            u = taken(ds)
        assert len(caught) == 1
        # Once a session: another warning would be an error.
        everything = taken(ds, invalid="keep")
        again = taken(ds)
        means = ox.stats(everything, "sequence", invalid="drop")
        assert u.attrs["invalid_rois_left_out"] == 5
        assert means["mean"].attrs["invalid_rois_left_out"] == 5
        assert "invalid_rois_left_out" not in everything.attrs
        np.testing.assert_array_equal(u.values, taken(nwb).values)
        np.testing.assert_array_equal(u.roi_id, np.delete(ds.roi_id, np.flatnonzero(bad_of(ds))))
        xr.testing.assert_identical(u, again)
        kept = everything.sel(roi=u.roi).variable.load()
        assert kept.identical(nwb_like(u))
        assert everything.sizes["roi"] == 12
        xr.testing.assert_allclose(means["mean"].variable, ox.stats(u, "sequence")["mean"].variable)
        assert ox.stats(everything, "sequence", invalid="keep").sizes["roi"] == 12


@quiet
def test_what_was_kept_when_it_was_extracted_stays(original_folders):
    with ox.open_session(original_folders["soma"]) as ds:
        kept = taken(ds, invalid="keep")
        assert kept.attrs["invalid_rois_kept"] == 5
        found = ox.stats(kept, "sequence")
        assert found.sizes["roi"] == 12
        assert found["mean"].attrs["invalid_rois_kept"] == 5
        one, other = (kept.osca.integrate().isel(sequence=part) for part in (slice(5), slice(5, 9)))
        index = analyses.discrimination_index(one, other, permutations=40)
        assert index.sizes["roi"] == 12
        # Computing may drop the attributes of one of the two.
        index = analyses.discrimination_index(one, other.drop_attrs(), permutations=40)
        assert index.sizes["roi"] == 12
        fewer = ox.stats(kept, "sequence", invalid="drop")
        assert fewer.sizes["roi"] == 7
        assert "invalid_rois_kept" not in fewer["mean"].attrs
        assert kept.attrs["invalid_rois_kept"] == 5
        assert "invalid_rois_kept" not in taken(ds).attrs
        assert "invalid_rois_kept" not in ds.attrs


def bad_of(ds: xr.Dataset) -> np.ndarray:
    return ds.listed_invalid.values


def nwb_like(u: xr.DataArray) -> xr.Variable:
    attrs = {key: value for key, value in u.attrs.items() if key != "invalid_rois_left_out"} | {
        "invalid_rois_kept": 5
    }
    return xr.Variable(u.dims, u.values, attrs)


@quiet
def test_responses_and_indices_leave_them_out(original_folders):
    with ox.open_session(original_folders["soma"]) as ds:
        segments = ds.osca.select(gabor_frame=["D", "U"])
        for options, count in (({}, 7), ({"invalid": "keep"}, 12)):
            found = ds.osca.responses(segments, names="dff", by_roi=True, **options)
            assert found.sizes["roi"] == count
            one = ds.osca.responses(segments, names="dff", **options)
            np.testing.assert_allclose(one.dff, found.dff.mean("roi", skipna=True))
            index = analyses.usi(ds, permutations=40, **options)
            assert index.sizes["roi"] == count
        kept = [
            taken(ds, invalid="keep").osca.integrate().isel(sequence=part)
            for part in (slice(5), slice(5, None))
        ]
        assert (
            analyses.discrimination_index(*kept, permutations=40, invalid="drop").sizes["roi"] == 7
        )
        assert (
            analyses.discrimination_index(*kept, permutations=40, invalid="keep").sizes["roi"] == 12
        )
        fewer = taken(ds).osca.integrate()
        with pytest.raises(SessionMismatchError, match="not of the same ROIs"):
            analyses.discrimination_index(kept[0], fewer)


@pytest.mark.filterwarnings("ignore::oscaxr.errors.InvalidRoiWarning")
def test_scale_and_masks_match_by_label(original_folders):
    with ox.open_session(original_folders["soma"]) as ds:
        u = taken(ds)
        np.testing.assert_array_equal(u.osca.scale(ds).values, taken(ds, scale=True).values)
        factors = ds.osca.scale_factors("dff").sel(roi=u.roi)
        wanted = (u - factors["median"]) / factors["spread"]
        np.testing.assert_array_equal(u.osca.scale(ds).values, wanted.transpose(*u.dims).values)
        active = ds.osca.active_rois()
        wanted = u.roi.values[active.sel(roi=u.roi).values]
        np.testing.assert_array_equal(u.where(active, drop=True).roi, wanted)
        with pytest.raises(IndexError):
            u.isel(roi=active)


def test_without_a_list_that_holds_nothing_is_left_out(original_folders):
    with (
        ox.open_session(original_folders["dend"], fluorescence="raw") as raw,
        ox.open_session(original_folders["dend"], segmentation="allen") as allen,
    ):
        for ds in (raw, allen):
            assert "listed_invalid" not in ds.coords
            assert taken(ds).sizes["roi"] == ds.sizes["roi"]


def test_what_no_file_lists_is_kept_and_found_by_validate(tmp_path: Path) -> None:
    folder = ox.sample.write_original(small_spec(n_bad_rois=4), tmp_path)
    path = read_tree(folder).files["matches"]
    content = json.loads(path.read_text())
    unlisted = list(content["bad_rois"]["dff_local_bad_roi_idx"].values())[-1]
    for cells in content["bad_rois"].values():
        del cells["3"]
    path.write_text(json.dumps(content))
    with ox.open_session(folder) as ds:
        with pytest.warns(InvalidRoiWarning, match=f"3 of 11 ROIs are {LISTED}"):
            u = taken(ds)
        assert unlisted in u.roi
        with pytest.warns(InvalidRoiWarning, match="4 of 11 ROIs are bad"):
            report = ds.osca.validate(traces=True)
        (problem,) = report
        assert f"No file lists {unlisted} as invalid" in problem.message


def test_an_export_keeps_the_list(original_folders, tmp_path):
    with (
        ox.open_session(original_folders["soma"]) as ds,
        pytest.warns(InvalidRoiWarning),
        ox.open_session(ox.save(ds, tmp_path / "s.zarr")) as export,
    ):
        np.testing.assert_array_equal(taken(export).roi, taken(ds).roi)


def test_one_roi_is_taken_none_is_refused(original_folders):
    with ox.open_session(original_folders["soma"]) as ds:
        bad = ds.roi.values[bad_of(ds)]
        assert taken(ds.sel(roi=bad[0])).dims == ("sequence", "rel_time")
        with pytest.raises(CriterionError, match="all 5 ROIs are listed as invalid"):
            taken(ds.sel(roi=bad))
        for function in (taken, lambda ds, **options: ox.stats(ds.dff, "time", **options)):
            with pytest.raises(CriterionError, match="invalid='raise': it is 'drop' or 'keep'"):
                function(ds, invalid="raise")
        run = ds.osca.sequences("run_velocity", frames=[300], pre=1, post=1)
        assert "invalid_rois_left_out" not in run.attrs
