"""Each row of the migration table runs, gives what it says, and no published name is missing."""

import ast
import tomllib
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import oscaxr as ox

TABLE = tomllib.loads(
    (Path(__file__).resolve().parents[2] / "docs" / "migration.toml").read_text(encoding="utf-8")
)
ROWS = [(group, row) for group, rows in TABLE.items() for row in rows]

# As the published tool lists them.
PUBLISHED = {
    "session": """
        age_weeks all_files any_files DOB sex date dend depth drop_tol gabors grayscr visflow home
        dir line max_proj mouse_df mouse_n mouseid n_stims notes nwb only_tracked_rois pass_fail
        plane pup_data roi_facts_df roi_masks roi_names run_data runtype segid expid sess_files
        sess_n sessid stim2twopfr twop2stimfr stim_df stim_fps twop_fps stim_seed stims stimtypes
        tot_stim_fr tot_twop_fr tracked_rois plateau_traces
        """,
    "session_path": """
        mouse_dir expdir procdir max_proj_png stim_pkl stim_sync_h5 behav_video_h5 pup_video_h5
        pup_data_h5 time_sync_h5 roi_extract_json roi_objectlist roi_mask_file roi_trace_h5
        roi_trace_dff_h5 align_pkl zstack_h5 correct_data_h5
        """,
    "session_method": """
        check_flanks convert_frames data_loaded extract_info get_active_rois get_bad_rois
        get_fr_ran get_frames_timestamps get_local_nway_match_path get_nrois
        get_plateau_roi_traces get_pup_data get_registered_max_proj get_registered_roi_masks
        get_roi_masks get_roi_seqs get_roi_trace_path get_roi_traces get_roi_traces_by_ns
        get_run_velocity get_run_velocity_by_fr get_single_roi_trace get_stim load_pup_data
        load_roi_info load_run_data set_only_tracked_rois
        """,
    "stimulus": """
        all_gabfr exp_gabfr unexp_gabfr all_gabfr_mean_oris exp_gabfr_mean_oris
        unexp_gabfr_mean_oris block_params deg_per_pix exp_min_s exp_max_s unexp_min_s unexp_max_s
        kappas n_patches n_segs_per_seq ori_ran phase seg_len_s sf size_ran stim_params stimtype
        win_size main_flow_dirs main_flow_direcs sess n_squares prop_flipped speed square_sizes
        """,
    "stimulus_method": """
        get_A_frame_1s get_A_segs get_all_unexp_segs get_all_unexp_stim_fr get_fr_by_seg
        get_frames_by_criteria get_n_fr_by_seg get_pup_diam_data get_pup_diam_stats_df
        get_roi_data get_roi_stats_df get_run get_run_data get_run_stats_df get_segs_by_criteria
        get_segs_by_frame get_start_unexp_segs get_start_unexp_stim_fr_trans get_stats_df
        get_stim_beh_sub_df get_stim_df_by_criteria get_stim_images_by_frame get_stim_par_by_frame
        get_stim_par_by_seg get_dir_segs_exp get_all_fr get_start_fr get_stop_fr
        """,
    "helper": """
        all_omit get_sess_vals init_sessions reshape_df_data plot_ROIs plot_ROI_contours
        """,
}


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """What the rows may use: sessions of a mouse as files, opened."""
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    from oscaxr import plot

    datadir = tmp_path_factory.mktemp("migration")
    table = ox.sample.write_mouse(datadir, parts="behavior+image+ophys")
    specs = ox.sample.mouse_specs()
    same = ox.sample.write_original(specs[0], tmp_path_factory.mktemp("same"), mates=specs[1:])
    (match_file,) = same.rglob("*_nway_matched_rois.json")
    unfit = ox.sample.SampleSpec(plane="dend", scale=0.05, n_rois=10, n_tracked=5, n_bad_rois=2)
    original = ox.open_session(ox.sample.write_original(unfit, tmp_path_factory.mktemp("original")))
    with pytest.warns(ox.errors.InvalidRoiWarning):
        original.valid.load()
    options = {"datadir": datadir, "table": table, "include": ("squares", "templates")}
    days = [ox.open_session(mouse=1, session=number, **options) for number in (1, 2, 3)]
    yield {
        "ox": ox,
        "np": np,
        "plot": plot,
        "Path": Path,
        "ds": days[0],
        "days": days,
        "table": table,
        "datadir": datadir,
        "match_file": match_file,
        "original": original,
    }
    pyplot.close("all")
    for ds in (*days, original):
        ds.close()


def run(code, names):
    """Run statements; return the value of the last one, an expression."""
    *statements, last = ast.parse(code.strip()).body
    assert isinstance(last, ast.Expr), "the last line should be an expression"
    exec(compile(ast.Module(statements, []), "migration.toml", "exec"), names)
    return eval(compile(ast.Expression(last.value), "migration.toml", "eval"), names)


@pytest.mark.parametrize(("group", "row"), ROWS, ids=[row["there"] for _, row in ROWS])
def test_row(group, row, names):
    own = dict(names)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        own["result"] = run(row["here"], own)
        assert bool(eval(row["check"], own)), own["result"]
    for name in set(own) - set(names):
        if isinstance(own[name], xr.Dataset | xr.DataTree):
            own[name].close()


@pytest.mark.parametrize("group", PUBLISHED)
def test_every_published_name_has_one_row(group):
    assert Counter(row["there"] for row in TABLE[group]) == Counter(PUBLISHED[group].split())


def test_rows_have_the_same_keys():
    assert set(TABLE) == set(PUBLISHED)
    for _, row in ROWS:
        assert {"there", "here", "check"} <= set(row) <= {"there", "here", "check", "difference"}


def test_lines_fit_the_column_of_the_table():
    long = [line for _, row in ROWS for line in row["here"].splitlines() if len(line) > 72]
    assert long == []
