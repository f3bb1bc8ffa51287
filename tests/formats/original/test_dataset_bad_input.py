"""Sessions in the original layout that are not as they should be: what, where, and why."""

import ast
import json
import os
import pickle
import re
import shutil
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr
from PIL import Image

import oscaxr as ox
from oscaxr.errors import (
    AmbiguousSessionError,
    CriterionError,
    FormatError,
    MissingVariableError,
    OscaxrError,
    OscaxrWarning,
    SessionMismatchError,
    SessionNotFoundError,
    UnsafePickleError,
)
from oscaxr.formats.original.dataset import REQUIRED
from oscaxr.formats.original.files import read_tree
from oscaxr.model.names import PUPIL_VARIABLES


@pytest.fixture
def folder(original_folders, tmp_path) -> Path:
    """A private copy of a somatic session, to be damaged."""
    return copied(original_folders["soma"], tmp_path)


@pytest.fixture
def dendrites(original_folders, tmp_path) -> Path:
    """A private copy of a dendritic session, to be damaged."""
    return copied(original_folders["dend"], tmp_path)


def copied(folder: Path, target: Path) -> Path:
    place = target / "data" / "prod" / folder.parent.name / folder.name
    shutil.copytree(folder, place)
    return place


def opened(folder: Path, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ox.errors.DroppedFramesWarning)
        return ox.open_session(folder, **options)


def change(path: Path, name: str, edit) -> None:
    """Replace a dataset of an HDF5 file by what `edit` makes of it."""
    with h5py.File(path, "r+") as file:
        values = file[name][()]
        del file[name]
        file[name] = edit(values)


# -- files that are missing or cut short ----------------------------------------------------------
@pytest.mark.parametrize("part", [*REQUIRED, "dff"])
def test_a_missing_file_is_named(folder, part):
    path = read_tree(folder).files[part]
    path.unlink()
    with pytest.raises(SessionNotFoundError, match="lacks 1 file") as error:
        opened(folder)
    assert path.name in str(error.value)


def test_all_missing_files_are_named_at_once(folder):
    tree = read_tree(folder)
    gone = [tree.files[part] for part in ("sync", "object_list", "dff")]
    for path in gone:
        path.unlink()
    with pytest.raises(SessionNotFoundError, match="lacks 3 file") as error:
        opened(folder)
    assert all(path.name in str(error.value) for path in gone)


@pytest.mark.parametrize("part", ["pupil", "matches"])
def test_optional_files_may_be_missing(folder, part):
    read_tree(folder).files[part].unlink()
    with opened(folder) as ds:
        assert ("pupil_diameter" in ds) == (part != "pupil")
        assert (ds.osca.n_tracked > 0) == (part != "matches")
        assert all(p.level != "error" for p in ds.osca.validate())


@pytest.mark.parametrize(
    ("part", "variables"),
    [
        ("max_projection", ["max_projection"]),
        ("pupil", [*PUPIL_VARIABLES]),
        ("matches", ["tracking_id", "listed_invalid"]),
    ],
)
@pytest.mark.parametrize("kept", [0.6, pytest.param(None, marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore::oscaxr.errors.InvalidRoiWarning")
def test_what_is_left_out_need_not_be_whole(folder, part, variables, kept):
    whole = opened(folder).drop_vars(variables).load()
    path = read_tree(folder).files[part]
    if kept is None:
        path.unlink()
    else:
        os.truncate(path, int(path.stat().st_size * kept))
        with pytest.raises(FormatError, match=path.name):
            opened(folder)
    found = opened(folder, drop_variables=variables)
    xr.testing.assert_identical(found.load().drop_attrs(), whole.drop_attrs())
    found.close()


@pytest.mark.parametrize(("part", "name"), [("sync", "data"), ("pupil", "pupil_data/block0_items")])
def test_more_is_claimed_than_a_file_can_hold(folder, part, name):
    with h5py.File(read_tree(folder).files[part], "r+") as file:
        shape, dtype = (10**12, *file[name].shape[1:]), file[name].dtype
        del file[name]
        file.create_dataset(name, shape, dtype, chunks=True)
    with pytest.raises(FormatError, match="never written"):
        opened(folder)


def test_a_table_of_the_pupil_without_values(folder):
    with h5py.File(read_tree(folder).files["pupil"], "r+") as file:
        del file["pupil_data/block0_values"]
        file["pupil_data/block0_values"] = h5py.Empty("f8")
    with pytest.raises(FormatError, match=r"lacks the column.*drop_variables=\['pupil_diameter'"):
        opened(folder)
    opened(folder, drop_variables=PUPIL_VARIABLES).close()


@pytest.mark.parametrize("keep", ["s3://bucket/kept", "https://me:secret@host/x", "a\0b", b"x", 5])
def test_decoded_logs_are_kept_on_this_computer(folder, keep, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(OscaxrError) as caught:
        opened(folder, keep_decoded=keep)
    assert "secret" not in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_running_that_is_left_out_need_not_fit(folder):
    def fewer(log):
        wheel = log["items"]["foraging"]["encoders"][0]
        wheel["dx"] = wheel["dx"][:-5]

    relog(folder, fewer)
    with pytest.raises(FormatError, match="wheel has"):
        opened(folder)
    opened(folder, drop_variables="run_velocity").close()


@pytest.mark.parametrize("part", [*REQUIRED, "dff", "pupil", "matches"])
@pytest.mark.parametrize("kept", [0.6, pytest.param(0, marks=pytest.mark.slow)])
def test_a_truncated_file_is_named(folder, part, kept):
    path = read_tree(folder).files[part]
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(FormatError) as error:
        opened(folder)
    assert path.name in str(error.value)


def test_the_problems_of_all_files_are_said_at_once(folder):
    tree = read_tree(folder)
    for part in ("sync", "dff", "max_projection", "allen_masks"):
        content = tree.files[part].read_bytes()
        tree.files[part].write_bytes(content[: len(content) // 2])
    with pytest.raises(FormatError) as error:
        opened(folder)
    message = str(error.value)
    assert all(
        tree.files[part].name in message
        for part in ("sync", "dff", "max_projection", "allen_masks")
    )


def test_nothing_stays_open_after_a_failure(folder, open_files):
    path = read_tree(folder).files["object_list"]
    path.write_text("nothing of use\n")
    with pytest.raises(FormatError, match=r"objectlist\.txt"):
        opened(folder)
    assert open_files(folder) == []


def test_extract_files_that_are_missing_are_an_error_unless_allen_is_asked_for(dendrites):
    tree = read_tree(dendrites)
    n_extract = opened(dendrites).sizes["roi"]
    tree.files["dendritic_masks"].unlink()
    with pytest.raises(SessionNotFoundError, match="segmentation='allen'"):
        opened(dendrites)
    with opened(dendrites, segmentation="allen") as ds:
        assert ds.attrs["segmentation"] == "allen"
        assert ds.sizes["roi"] != n_extract
        assert ds.osca.n_tracked == 0
    tree.files["dff_dendritic"].unlink()
    tree.files["raw_dendritic"].unlink()
    table = table_of(dendrites, plane="dend")
    with pytest.raises(SessionNotFoundError, match=r"dff_dendritic\.h5"):
        opened(dendrites, table=table)


@pytest.mark.parametrize("parts", [("dff_dendritic",), ("dff_dendritic", "raw_dendritic")], ids=len)
def test_allen_rois_of_dendrites_are_read_where_those_of_extract_are_missing(dendrites, parts):
    tree = read_tree(dendrites)
    for part in parts:
        tree.files[part].unlink()
    with pytest.raises(SessionNotFoundError, match="segmentation='allen'"):
        opened(dendrites)
    with opened(dendrites, segmentation="allen") as ds:
        # The matching file tells of the ROIs by EXTRACT.
        assert ds.osca.n_tracked == 0


def test_the_run_type_is_that_of_the_nearest_folder(folder, tmp_path):
    place = tmp_path / "data" / "prod" / "copies" / "pilot"
    place.mkdir(parents=True)
    folder.parent.rename(place / folder.parent.name)
    assert read_tree(place / folder.parent.name / folder.name).run_type == "pilot"


def test_a_folder_without_a_session_says_so(tmp_path):
    (tmp_path / "ophys_session_123456789").mkdir()
    with pytest.raises(SessionNotFoundError, match=r"_stim\.pkl"):
        opened(tmp_path / "ophys_session_123456789")
    with pytest.raises(SessionNotFoundError, match="no such file"):
        opened(tmp_path / "ophys_session_987654321")


# -- names ----------------------------------------------------------------------------------------
def table_of(folder: Path, **facts):
    tree = read_tree(folder)
    row = {
        "session_id": tree.session_id,
        "mouse_id": tree.mouse_id,
        "mouse": 1,
        "session": 1,
        "date": int(tree.date.replace("-", "")),
        **facts,
    }
    import pandas as pd

    return pd.DataFrame([row])


def test_ids_and_date_of_the_table_must_be_those_of_the_names(folder):
    with opened(folder, table=table_of(folder, plane="soma", depth=175)) as ds:
        assert ds.plane == "soma"
        assert ds.depth == 175
    with pytest.raises(SessionMismatchError, match=r"date is .* 2018-01-02 was expected"):
        opened(folder, table=table_of(folder, date=20180102))
    with pytest.raises(SessionMismatchError, match="mouse_id is"):
        opened(folder, table=table_of(folder, mouse_id=999999))


@pytest.mark.parametrize("place", [0, 1, 2])
def test_names_must_agree_with_each_other(folder, place):
    path = read_tree(folder).files["sync"]
    fields = path.name.split("_")
    fields[place] = fields[place][:-1] + ("1" if fields[place][-1] != "1" else "2")
    path.rename(path.with_name("_".join(fields)))
    with pytest.raises(SessionMismatchError, match="state different sessions") as error:
        opened(folder)
    assert "_".join(fields) in str(error.value)


def test_the_folders_must_be_named_for_the_session(folder):
    other = folder.with_name("ophys_session_999999999")
    folder.rename(other)
    with pytest.raises(SessionMismatchError, match="the folder ophys_session_999999999"):
        opened(other)
    back = other.rename(folder)
    mouse = back.parent.rename(back.parent.with_name("mouse_999999"))
    with pytest.raises(SessionMismatchError, match="the folder mouse_999999"):
        opened(mouse / folder.name)


def test_several_folders_of_a_session_are_listed(folder):
    number = read_tree(folder).session_id
    datadir = folder.parents[2]
    with opened(number, datadir=datadir) as ds:
        assert ds.session_id == number
    shutil.copytree(folder, datadir / "copies" / folder.name)
    with pytest.raises(AmbiguousSessionError, match="copies, give a narrower datadir") as error:
        opened(number, datadir=datadir)
    assert str(folder) in str(error.value)


@pytest.mark.parametrize(
    ("part", "level", "name"),
    [
        ("dff", 1, "ophys_experiment_1"),
        ("object_list", 1, "ophys_cell_segmentation_run_1"),
        ("pupil", 0, "{0}_{1}_{2}_v2_pupil_data_df.h5"),
        ("stimulus", 0, "{0}_{1}_{2}_old_stim.pkl"),
    ],
)
def test_several_candidates_are_listed(folder, part, level, name):
    tree = read_tree(folder)
    path = tree.files[part].parents[level - 1] if level else tree.files[part]
    ids = tree.session_id, tree.mouse_id, tree.date.replace("-", "")
    target = path.with_name(name.format(*ids))
    if path.is_dir():
        target.mkdir()
    else:
        shutil.copy(path, target)
    if part == "stimulus":
        # Named otherwise, it is not taken for the session's log.
        opened(folder).close()
        return
    with pytest.raises(AmbiguousSessionError, match="several") as error:
        opened(folder)
    assert target.name in str(error.value)


def test_the_mouse_folder_may_be_absent_and_nwb_files_come_first(folder, tmp_path, sample_path):
    number = read_tree(folder).session_id
    plain = tmp_path / "plain" / "pilot" / folder.name
    plain.parent.mkdir(parents=True)
    shutil.copytree(folder, plain)
    with opened(number, datadir=tmp_path / "plain") as ds:
        assert ds.run_type == "pilot"
        assert ds.attrs["source_format"] == "original"
        assert ds.osca.n_tracked > 0
    spec = ox.sample.SampleSpec(
        session_id=number, mouse_id=read_tree(folder).mouse_id, scale=0.02, n_rois=4, n_tracked=2
    )
    ox.sample.write_nwb(spec, tmp_path / "plain" / "deep" / "down")
    with opened(number, datadir=tmp_path / "plain") as ds:
        assert ds.attrs["source_format"] == "nwb"


# -- arrays that do not fit each other ------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "edit", "words"),
    [
        ("stimulus_alignment", lambda v: v[:-5], "stimulus_alignment has"),
        ("stimulus_alignment", lambda v: np.append(v, [v[-1]] * 5), "stimulus_alignment has"),
        ("eye_tracking_alignment", lambda v: v[:-5], "eye_tracking_alignment has"),
        ("twop_vsync_fall", lambda v: v[:-5], "has times of"),
        ("twop_vsync_fall", lambda v: v[::-1].copy(), "does not increase"),
        ("twop_vsync_fall", lambda v: v[:0], "twop_vsync_fall is missing"),
        ("twop_vsync_fall", lambda v: v.astype("S"), "should hold numbers"),
    ],
)
def test_clocks_of_other_lengths_are_an_error(folder, name, edit, words):
    change(read_tree(folder).files["time_synchronization"], name, edit)
    with pytest.raises(FormatError, match=words):
        opened(folder)


def drop_pulses(path: Path, label: str, which: slice) -> None:
    with h5py.File(path, "r+") as file:
        labels = re.search(r"'line_labels': \[(.*?)\]", file["meta"][()].decode())[1]
        bit = [one.strip(" '") for one in labels.split(",")].index(label)
        data = file["data"][()]
        on = (data[:, -1] >> bit) & 1
        rises = np.flatnonzero(np.diff(on.astype(int), prepend=0) == 1)[which]
        falls = np.flatnonzero(np.diff(on.astype(int), prepend=0) == -1)
        for rise in rises:
            stop = falls[np.searchsorted(falls, rise)]
            data[rise:stop, -1] &= ~np.uint32(1 << bit)
        del file["data"]
        file["data"] = data


@pytest.mark.parametrize(
    ("label", "which", "words"),
    [
        ("stim_vsync", slice(500, 503), r"pulses are\s+missing"),
        ("stim_vsync", slice(-3, None), r"pulses are\s+missing"),
        ("stim_photodiode", slice(20, 24), "the photodiode saw"),
        ("2p_vsync", slice(-400, None), "outside the two-photon recording"),
    ],
)
def test_dropped_sync_pulses_are_an_error(folder, label, which, words):
    drop_pulses(read_tree(folder).files["sync"], label, which)
    with pytest.raises(FormatError, match=words):
        opened(folder)


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("2p_vsync", "two-photon line has no pulses"),
        ("stim_vsync", "stim_vsync has no pulses"),
        ("stim_photodiode", "photodiode saw 0 flips"),
    ],
)
def test_lines_without_a_pulse_are_named(folder, label, words):
    path = read_tree(folder).files["sync"]
    with h5py.File(path) as file:
        bit = ast.literal_eval(file["meta"][()].decode())["line_labels"].index(label)

    def silenced(events):
        events[:, -1] &= ~np.uint32(1 << bit)
        return events

    change(path, "data", silenced)
    with pytest.raises(FormatError, match=words):
        opened(folder)


@pytest.mark.parametrize("rate", ["fast", 0, True])
@pytest.mark.parametrize(
    "name", ["counter_output_freq", pytest.param("sample_freq", marks=pytest.mark.slow)]
)
def test_rates_of_the_sync_file_are_numbers_above_0(folder, name, rate):
    def edit(text):
        described = ast.literal_eval(text.decode())
        described["ni_daq"][name] = rate
        return repr(described)

    change(read_tree(folder).files["sync"], "meta", edit)
    with pytest.raises(FormatError, match=f"no '{name}' above 0, but {rate!r}"):
        opened(folder)


def test_a_clock_of_one_frame_is_an_error(folder):
    change(read_tree(folder).files["time_synchronization"], "twop_vsync_fall", lambda v: v[:1])
    with pytest.raises(FormatError, match="one time only"):
        opened(folder)


def test_sync_lines_that_are_not_there_are_named(folder):
    path = read_tree(folder).files["sync"]
    change(path, "meta", lambda text: text.replace(b"stim_photodiode", b"something_else"))
    with pytest.raises(FormatError, match="no line stim_photodiode"):
        opened(folder)


def test_the_description_of_the_lines_is_never_run(folder, tmp_path):
    target = tmp_path / "was-here"
    path = read_tree(folder).files["sync"]
    code = f"__import__('pathlib').Path({str(target)!r}).touch()".encode()
    change(path, "meta", lambda text: code)
    with pytest.raises(FormatError, match="never run as code"):
        opened(folder)
    change(path, "meta", lambda text: b"{'line_labels': []}")
    with pytest.raises(FormatError, match="counter_output_freq"):
        opened(folder)
    assert not target.exists()


def test_camera_frames_that_are_not_known_give_no_pupil(folder):
    with opened(folder) as ds:
        before = ds.pupil_diameter.values

    def without(values):
        values = values.astype(float)
        values[:7], values[100:110] = np.nan, np.nan
        return values

    change(read_tree(folder).files["time_synchronization"], "eye_tracking_alignment", without)
    with opened(folder) as ds:
        after = ds.pupil_diameter.values
        shift = ds.pupil_center_shift.values
    assert np.isnan(after[:7]).all()
    assert np.isnan(after[100:110]).all()
    assert np.isnan(shift[100:111]).all()
    kept = np.r_[7:100, 110 : len(after)]
    np.testing.assert_array_equal(after[kept], before[kept])


def test_a_pupil_recording_that_stops_early_is_said_and_not_cut(folder):
    def cut(file):
        values = file["pupil_data/block0_values"][:-200]
        del file["pupil_data/block0_values"]
        file["pupil_data/block0_values"] = values

    with h5py.File(read_tree(folder).files["pupil"], "r+") as file:
        cut(file)
    with pytest.warns(OscaxrWarning, match=r"the last \d+ of \d+ two-photon frames have no pupil"):
        ds = opened(folder)
    with ds:
        assert ds.sizes["time"] == ds.dff.sizes["time"]
        assert np.isnan(ds.pupil_diameter.values[-50:]).all()


def test_pupil_tables_of_pickles_are_refused(folder, tmp_path):
    target = tmp_path / "was-here"

    class Harm:
        def __reduce__(self):
            return (Path.touch, (target,))

    with h5py.File(read_tree(folder).files["pupil"], "r+") as file:
        group = file["pupil_data"]
        del group["block0_values"]
        kind = h5py.vlen_dtype(np.uint8)
        group.create_dataset("block0_values", (1,), dtype=kind)
        group["block0_values"][0] = np.frombuffer(pickle.dumps(Harm()), np.uint8)
    with pytest.raises(FormatError, match=r"lacks the column\(s\) nan_diam"):
        opened(folder)
    with h5py.File(read_tree(folder).files["pupil"], "r+") as file:
        file.create_group("other")
    with pytest.raises(FormatError, match="should hold one table"):
        opened(folder)
    assert not target.exists()


@pytest.mark.parametrize("edit", [lambda v: v[:-1], lambda v: np.concatenate([v, v[:1]])])
def test_as_many_traces_as_masks(folder, edit):
    path = read_tree(folder).files["dff"]
    change(path, "data", edit)
    with pytest.raises(FormatError, match="names of"):
        opened(folder)
    with h5py.File(path, "r+") as file:
        del file["roi_names"]
    with pytest.raises(FormatError, match=r"traces of \d+ ROIs, but .*objectlist\.txt has \d+ ROI"):
        opened(folder)


def test_traces_and_masks_must_be_of_the_same_rois(folder):
    change(read_tree(folder).files["dff"], "roi_names", lambda names: names[::-1].copy())
    with pytest.raises(FormatError, match="by ascending id"):
        opened(folder)


@pytest.mark.parametrize("edit", [lambda v: v.astype(int), lambda v: v.astype(float)])
def test_names_of_rois_may_be_numbers(folder, edit):
    change(read_tree(folder).files["dff"], "roi_names", edit)
    with opened(folder) as ds:
        assert ds.osca.n_tracked > 0
    change(read_tree(folder).files["dff"], "roi_names", lambda v: v[:, np.newaxis] + 0.5)
    with pytest.raises(FormatError, match="'roi_names' is not one name"):
        opened(folder)


@pytest.mark.parametrize(("key", "value"), [("x", "left"), ("id", "first")])
def test_boxes_and_ids_of_masks_are_whole_numbers(folder, key, value):
    path = read_tree(folder).files["allen_masks"]
    content = json.loads(path.read_text())
    content["rois"][0][key] = value
    path.write_text(json.dumps(content))
    with pytest.raises(FormatError, match="not whole numbers"):
        opened(folder)


@pytest.mark.parametrize(
    "height",
    [
        *(10**12, float("inf"), 0, "many"),
        *(pytest.param(one, marks=pytest.mark.slow) for one in (2**70, 1e308, -5, [1])),
    ],
)
def test_a_field_has_some_pixels(folder, height):
    path = read_tree(folder).files["allen_masks"]
    content = json.loads(path.read_text())
    content["image"]["height"] = height
    path.write_text(json.dumps(content))
    with pytest.raises(FormatError, match=f"{path.name} is not a file of ROI masks"):
        opened(folder)


@pytest.mark.slow
def test_a_picture_that_is_too_large_is_an_error(folder):
    path = read_tree(folder).files["max_projection"]
    Image.new("1", (20_000, 20_000)).save(path)  # of one bit each: soon written
    with pytest.raises(FormatError, match="cannot be read as a picture"):
        opened(folder)


def test_each_listed_object_has_one_mask(folder):
    path = read_tree(folder).files["object_list"]
    lines = path.read_text().splitlines()
    fields = lines[1].split(",")
    column = [name.strip() for name in lines[0].split(",")].index("minx")
    fields[column] = f" {int(fields[column]) + 1}"
    path.write_text("\n".join([lines[0], ",".join(fields), *lines[2:]]) + "\n")
    with pytest.raises(FormatError, match="exactly one ROI mask"):
        opened(folder)
    path.write_text("\n".join([*lines, lines[1]]) + "\n")
    with pytest.raises(FormatError, match="more than once"):
        opened(folder)


def test_tracked_rois_must_be_those_of_the_traces(folder):
    path = read_tree(folder).files["matches"]
    text = path.read_text()
    path.write_text(re.sub(r'("dff-ordered_roi_index": {"0": )\d+', r"\g<1>9999", text))
    with pytest.raises(FormatError, match="names tracked ROIs up to 9999"):
        opened(folder)
    path.write_text(text.replace('_roi_id": {"0": ', '_roi_id": {"0": 1', 1))
    with pytest.raises(FormatError, match="tracked ROIs have other ids than the traces"):
        opened(folder)


def test_rois_listed_as_bad_must_be_those_of_the_traces(folder):
    path = read_tree(folder).files["matches"]
    content = json.loads(path.read_text())
    bad = content["bad_rois"]
    for column, words in (
        ("dff_local_bad_roi_idx", "names bad ROIs up to 9999"),
        ("sess_1_bad_roi_id", "1 bad ROIs have other ids than the traces"),
    ):
        changed = {**bad, column: {**bad[column], "0": 9999}}
        path.write_text(json.dumps({**content, "bad_rois": changed}))
        with pytest.raises(FormatError, match=words):
            opened(folder)


# -- the stimulus log -----------------------------------------------------------------------------
def relog(folder: Path, edit) -> None:
    """Rewrite the stimulus log with what `edit` does to it."""
    path = read_tree(folder).files["stimulus"]
    with path.open("rb") as file:
        content = pickle.load(file, encoding="latin1")
    edit(content)
    path.write_bytes(pickle.dumps(content, protocol=2))


def gabors(content):
    return next(s for s in content["stimuli"] if "gabor_params" in s["stim_params"])


def flow(content):
    return next(s for s in content["stimuli"] if "square_params" in s["stim_params"])


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda c: c.pop("stimuli"), "'stimuli' should be a list"),
        (lambda c: c["stimuli"].pop(), "2 stimuli, where a production session has 3"),
        (lambda c: c["items"].pop("foraging"), "no turns of the running wheel"),
        (lambda c: gabors(c).pop("frame_list"), "frames: an array was expected"),
        (lambda c: gabors(c)["sweep_params"].pop("OriSurp"), "OriSurp"),
        pytest.param(
            lambda c: gabors(c)["sweep_params"].update(
                OriSurp=(gabors(c)["sweep_params"]["OriSurp"][0][:5], 0)
            ),
            "parameters of 5 sequences",
            marks=pytest.mark.slow,
        ),
        (lambda c: flow(c)["stim_params"].update(direc="up"), "neither 'left' nor 'right'"),
        (
            lambda c: flow(c)["stim_params"]["session_params"].update(seed=99),
            "different seeds",
        ),
        (
            lambda c: gabors(c)["stim_params"]["session_params"]["possize"].pop(),
            "five Gabor frames",
        ),
        pytest.param(
            lambda c: gabors(c)["stim_params"]["session_params"]["orisbyimg"].pop(),
            "orisbyimg has shape",
            marks=pytest.mark.slow,
        ),
        (lambda c: gabors(c).update(frame_list=flow(c)["frame_list"]), "sweeps"),
        pytest.param(
            lambda c: c.update(pre_blank_sec=50.0),
            "shown up to frame",
            marks=pytest.mark.slow,
        ),
        (lambda c: c.update(fps="fast"), "'fps' should be a number"),
        pytest.param(
            lambda c: c.update(fps=0.0),
            "'fps' is 0, which should be above 0",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            lambda c: c.update(fps=float("nan")),
            "'fps' should be a number, but is nan",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            lambda c: c.update(pre_blank_sec=-1.0),
            "'pre_blank_sec' is -1",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            lambda c: c.update(pre_blank_sec=float("inf")),
            "'pre_blank_sec' should be a number",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            lambda c: gabors(c)["stim_params"]["gabor_params"].update(ori_std=0.0),
            "'ori_std' is 0",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            lambda c: flow(c)["stim_params"].update(direc=["left"]),
            "neither 'left' nor 'right'",
            marks=pytest.mark.slow,
        ),
        (
            lambda c: gabors(c).update(display_sequence=np.array([[np.nan, 1.0]])),
            "times that are not finite",
        ),
        (
            lambda c: flow(c)["sweep_params"].update(
                Flip=([2] * len(flow(c)["sweep_params"]["Flip"][0]), 0)
            ),
            "not told by 0 and 1",
        ),
        (
            lambda c: c["items"]["foraging"]["encoders"][0].update(
                dx=c["items"]["foraging"]["encoders"][0]["dx"][:-3]
            ),
            "samples in the stimulus log",
        ),
        pytest.param(
            lambda c: c["stimuli"].extend(c["stimuli"] * 100_000),
            "has 300003 stimuli, where",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            lambda c: c.update(pre_blank_sec=1e308, fps=1e308),
            "nor longer than a session",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            lambda c: c.update(droppedframes=(np.array(["text"]), [])),
            "'droppedframes': an array",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            lambda c: gabors(c)["stim_params"]["gabor_params"].update(ori_std=1e-300),
            "'ori_std' is 1e-300",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            lambda c: gabors(c).update(display_sequence=np.array([[0.0, 1e300]])),
            "times that are not finite",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            lambda c: gabors(c).update(display_sequence=np.array([["0", "1"]])),
            "display_sequence: an array of numbers was expected",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            lambda c: gabors(c)["stim_params"]["session_params"].update(
                possize=[[np.zeros((3, 2)), np.zeros(3)]] * 5
            ),
            "the 30 patches in the five Gabor frames",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            lambda c: gabors(c)["stim_params"]["session_params"].update(
                possize=gabors(c)["stim_params"]["session_params"]["possize"] * 100_000
            ),
            "five Gabor frames",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            lambda c: flow(c)["stim_params"]["session_params"].update(posbyframe=np.array("text")),
            "tracks of squares: an array of numbers",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            lambda c: c["items"]["foraging"]["encoders"][0].update(dx=np.float64(1)),
            "it is not one number a frame",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_log_that_is_not_as_described_says_what_is_wrong(folder, edit, words):
    relog(folder, edit)
    with pytest.raises(FormatError, match=words):
        opened(folder)


def test_values_that_are_endless_when_written_out_are_cut_short(folder):
    endless = [1]
    for _ in range(60):
        endless = [endless, endless]
    # Pickled by hand: pickle itself cannot write what is as deep as this.
    path = read_tree(folder).files["stimulus"]
    path.write_bytes(b"\x80\x02}X\x03\x00\x00\x00fpsN" + b"\x85" * 50_000 + b"s.")
    with pytest.raises(FormatError, match="'fps' should be a number"):
        opened(folder)
    content = {"stimuli": [], "fps": endless}
    path.write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(FormatError, match="'fps' should be a number") as error:
        opened(folder)
    assert len(str(error.value)) < 3000


def test_tracks_and_late_frames_may_be_arrays(folder):
    with opened(folder, include="squares") as ds:
        expected = ds.square_x.values

    def edit(content):
        content["droppedframes"] = (np.zeros(999), np.arange(999))
        for one in content["stimuli"]:
            session = one["stim_params"]["session_params"]
            if "posbyframe" in session:
                session["posbyframe"] = np.array(session["posbyframe"])

    relog(folder, edit)
    with (
        pytest.warns(OscaxrWarning, match="999 of .* frames came late"),
        opened(folder, include="squares") as ds,
    ):
        np.testing.assert_array_equal(ds.square_x, expected)


def test_wheel_is_found_where_it_may_be(folder):
    with opened(folder) as ds:
        expected = ds.run_velocity.values

    def move(content):
        content["items"]["behavior"] = content["items"].pop("foraging")

    def move_up(content):
        content["dx"] = content["items"].pop("behavior")["encoders"][0]["dx"]

    for edit in (move, move_up):
        relog(folder, edit)
        with opened(folder) as ds:
            np.testing.assert_array_equal(ds.run_velocity.values, expected)


def test_a_reduced_log_has_neither_patches_nor_squares(folder):
    def reduce(content):
        for key in ("possize", "orisbyimg"):
            gabors(content)["stim_params"]["session_params"].pop(key)
        for one in content["stimuli"]:
            one["stim_params"]["session_params"].pop("posbyframe", None)

    relog(folder, reduce)
    with opened(folder, include="all") as ds:
        assert "gabor_x" not in ds
        assert "square_x" not in ds
        assert all(p.level != "error" for p in ds.osca.validate())
    with pytest.raises(MissingVariableError, match="reduced stimulus logs no squares"):
        opened(folder, include="squares")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_hostile_log_is_refused_and_named(folder, tmp_path, protocol):
    target = tmp_path / "was-here"

    class Harm:
        def __reduce__(self):
            return (os.system, (f"touch {target}",))

    path = read_tree(folder).files["stimulus"]
    path.write_bytes(pickle.dumps({"stimuli": [Harm()]}, protocol=protocol))
    with pytest.raises(UnsafePickleError, match=r"posix\.system"):
        opened(folder)
    assert not target.exists()


# -- options and folders --------------------------------------------------------------------------
def test_options_that_do_not_fit_say_so(folder, dendrites, sample_path):
    with pytest.raises(CriterionError, match="not of a dendritic plane"):
        opened(folder, segmentation="extr")
    for option in ("fluorescence", "segmentation"):
        with pytest.raises(CriterionError, match=f"{option}='other'"):
            opened(folder, **{option: "other"})
    with pytest.raises(CriterionError, match=r"fluorescence='raw'.* is an NWB file"):
        ox.open_session(sample_path, fluorescence="raw")
    with pytest.raises(MissingVariableError, match="neither stimulus templates nor movies"):
        opened(folder, include=["templates", "movie"])


def test_nothing_is_written_to_the_data_folder(folder):
    def listing():
        return {
            path: (path.stat().st_mtime_ns, path.stat().st_size)
            for path in sorted(folder.parents[2].rglob("*"))
        }

    before = listing()
    warns = pytest.warns(ox.errors.InvalidRoiWarning, match="are bad")
    with opened(folder, include="squares") as ds, warns:
        ds.load()
    assert listing() == before
