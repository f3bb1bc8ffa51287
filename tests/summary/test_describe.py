"""Every object can be shown, whatever it is called and holds; and nothing of its data is read."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest
import xarray as xr

import oscaxr as ox
from oscaxr.arrays.lazy import OrthogonalArray
from oscaxr.summary.describe import describe

HOSTILE = "<script>alert(1)</script>\"'&\x1b[31m\u202e]]>"
TAGS = {
    "div",
    "style",
    "svg",
    "path",
    "text",
    "span",
    "details",
    "summary",
    "table",
    "tr",
    "td",
    "th",
}
ATTRIBUTES = {"class", "role", "aria-label", "viewBox", "d", "x", "y", "text-anchor", "open"}


def checked(data):
    """Return an object's HTML, which must be sound, harmless and small; and its text."""
    html, text = data.osca._repr_html_(), repr(data.osca)
    root = ElementTree.fromstring(html.replace("<details open>", '<details open="">'))
    assert {element.tag for element in root.iter()} <= TAGS
    named = {name for element in root.iter() for name in element.attrib}
    assert named <= ATTRIBUTES
    assert len(html) < 30_000
    assert "\x1b" not in html + text
    assert "\u202e" not in html + text
    return html, text


@pytest.fixture
def was_read(monkeypatch):
    """List the shapes of what is read."""
    shapes = []
    read = OrthogonalArray.get_duck_array

    def noting(self):
        shapes.append(self.shape)
        return read(self)

    monkeypatch.setattr(OrthogonalArray, "get_duck_array", noting)
    return shapes


def odd_objects(ds):
    u = ds.osca.sequences("dff", ds.osca.select(gabor_frame="U"), pre=0.2, post=0.3)
    empty = ds.osca.select(gabor_frame="U", start_time=(0, 0.1))
    return {
        "no pupil": ds.drop_vars([name for name in ds.data_vars if "pupil" in name]),
        "no tracking": ds.assign_coords(tracking_id=ds.tracking_id * 0 - 1),
        "no table": ds.drop_dims("segment"),
        "one frame": ds.isel(time=0),
        "one ROI": ds.isel(roi=[0]),
        "one ROI, as a scalar": u.isel(roi=0),
        "no facts": ds.drop_vars([name for name in ds.coords if not ds[name].dims]).assign_attrs(
            {}
        ),
        "empty selection": empty,
        "one segment": ds.osca.select(segment=3).isel(segment=0),
        "empty sequences": u.isel(sequence=[]),
        "one sequence": u.isel(sequence=0),
        "mean": u.mean("sequence"),
        "mean of all": u.mean(),
        "grouped": u.groupby("gabor_mean_orientation").mean("sequence"),
        "integrated": u.osca.integrate(),
        "stats": ox.stats(u, ("sequence", "roi")),
        "several": u.to_dataset(),
        "tracked": ds.osca.tracked(),
        "blocks": ds.osca.blocks(),
        "frames": ds.osca.sequences(frames=[300, 400], post=0.2),
        "traces": ds.dff,
        "arrays as attributes": ds.assign_attrs(dict.fromkeys((*ds.attrs, "date"), np.arange(2))),
        "arrays as attributes of sequences": u.assign_attrs(dict.fromkeys(u.attrs, np.arange(2))),
        "nothing": xr.Dataset(),
        "a number": xr.DataArray(3.0),
        "other words": xr.Dataset(
            coords={"sequence": ["a", "b"], "time": ("sequence", ["x", "y"])}
        ),
        "dims alone": xr.Dataset({"dff": (("time", "segment", "roi"), np.zeros((0, 2, 3)))}),
        "other kinds": xr.Dataset(
            coords={
                "segment": [1, 2],
                "start_time": ("segment", ["a", "b"]),
                "stop_time": ("segment", [1, 2]),
                "unexpected": ("segment", ["yes", "no"]),
                "stimulus_type": ("segment", np.array([None, 3], object)),
                "gabor_frame": ("segment", np.array(["U", 3], object)),
                "age": "old",
            },
            attrs={"age_weeks": "old", "twop_fps": "30", "n_frames_twop": None},
        ),
    }


def test_every_object_is_shown(memory_session):
    for word, data in odd_objects(memory_session).items():
        html, text = checked(data)
        assert html, word
        assert "Methods of .osca" in text, word


@pytest.mark.parametrize("show", [repr, lambda accessor: accessor._repr_html_()])
def test_an_opened_session_is_shown_without_reading(sample_path, was_read, show):
    with ox.open_session(sample_path) as ds:
        selected = ds.osca.select(gabor_frame="U")
        u = ds.osca.sequences("dff", selected, pre=0.1, post=0.1)
        was_read.clear()
        for data in (ds, selected, u):
            show(data.osca)
        assert was_read == []


def test_of_an_export_single_facts_and_columns_are_read(memory_session, was_read, tmp_path):
    ox.save(memory_session, tmp_path / "s.zarr")
    with ox.open_session(tmp_path / "s.zarr") as ds:
        was_read.clear()
        html, text = checked(ds)
        assert set(was_read) <= {()}
        assert "their table is not read yet: ds.osca.blocks() reads it" in text
        assert "<svg" not in html
        selected = ds.osca.select(gabor_frame="U")
        was_read.clear()
        html, text = checked(selected)
        u = ds.osca.sequences("dff", selected, pre=0.1, post=0.1)
        checked(u)
        assert {len(shape) for shape in was_read} <= {0, 1}
        assert "<svg" in html
        assert f"gabor_frame             U: {selected.sizes['segment']}" in text
        ds.osca.blocks()
        assert "<svg" not in checked(ds)[0]


def test_a_file_that_is_gone_is_no_error(few_session, tmp_path):
    ox.save(few_session, tmp_path / "s.nc")
    ds = ox.open_session(tmp_path / "s.nc")
    ds.close()
    (tmp_path / "s.nc").unlink()
    assert "Traces" in checked(ds)[1]


def test_names_are_escaped(memory_session):
    ds = memory_session.assign_attrs(notes=HOSTILE, source_files=HOSTILE, source_format=HOSTILE)
    ds[HOSTILE] = (HOSTILE, np.zeros(3), {"units": HOSTILE})
    ds = ds.assign_coords(
        line=HOSTILE,
        stimulus_type=("segment", np.full(ds.sizes["segment"], HOSTILE)),
        gabor_frame=("segment", np.full(ds.sizes["segment"], HOSTILE)),
    )
    ds.encoding["source"] = HOSTILE
    selected = ds[["gabor_x"]]
    u = xr.DataArray(
        np.zeros((2, 3)),
        dims=("sequence", HOSTILE),
        coords={"sequence": [1, 2], "gabor_frame": ("sequence", [HOSTILE, "U"])},
        name=HOSTILE,
        attrs={HOSTILE: HOSTILE, "units": HOSTILE, "long_name": HOSTILE},
    )
    for data in (ds, selected, u, ds[HOSTILE]):
        html, text = checked(data)
        assert "<script" not in html
        assert "script>alert" in text, "the name is shown, escaped"


def test_summaries_of_large_objects_are_small(memory_session):
    ds = memory_session.isel(roi=np.zeros(1700, int), segment=np.arange(6800) % 170)
    kinds = np.array([f"kind {k}" for k in range(6800)])
    odd = ds.assign_coords(dict.fromkeys(("stimulus_type", "gabor_frame"), ("segment", kinds)))
    assert "1,700" in checked(ds)[1]
    for data in (ds, odd, odd.drop_dims(["time", "stim_time", "roi"])):
        _, text = checked(data)
        assert "6,800" in text or "segments of" in text
    many = ds.assign({f"own_{k}": ((), 0.0) for k in range(500)})
    assert "... and 46" in checked(many)[1]


def test_a_node_of_a_tree_is_shown_as_its_session(memory_session):
    tree = xr.DataTree.from_dict({f"/mouse_1/session_{k}": memory_session for k in (1, 2)})
    assert tree["/mouse_1/session_1"].osca._repr_html_() == memory_session.osca._repr_html_()
    assert tree.osca._repr_html_() is None


def test_the_numbers_are_those_of_the_session(memory_session):
    ds = memory_session
    sections = {section.title: section for section in describe(ds).sections}
    rows = {row[0]: row[1:] for row in sections["Stimulus"].rows}
    for kind in ("gabors", "visflow", "grayscreen"):
        of = ds.stimulus_type == kind
        n_blocks = len(np.unique(ds.block[of]))
        wanted = (int(of.sum()), int((of & (ds.unexpected == 1)).sum()), n_blocks)
        assert tuple(int(k.replace(",", "")) for k in rows[kind][:3]) == wanted
        assert float(rows[kind][3]) == pytest.approx(float(ds.duration[of].sum()) / 60, abs=0.05)
    assert sections["ROIs"].note == f"{ds.sizes['roi']}, {ds.osca.n_tracked} of them tracked"
    assert (
        f"{ds.sizes['time']:,} two-photon frames at {ds.twop_fps:.2f} Hz" in sections["Traces"].note
    )


def test_segments_are_counted_by_criterion(memory_session):
    ds = memory_session
    selected = ds.osca.select(stimulus=["gabors", "visflow"], gabor_frame=["D", "U"])
    (by_criterion,) = describe(selected).sections
    rows = dict(by_criterion.rows)
    for name, said in rows.items():
        values = selected[name].to_series()
        values = values[values.notna() & (values != "")]
        counts = dict(re.findall(r"([^:]+): ([\d,]+)(?:   |$)", said))
        others = counts.pop("not concerned", "0")
        assert sum(int(k.replace(",", "")) for k in counts.values()) == len(values)
        assert int(others.replace(",", "")) == selected.sizes["segment"] - len(values)
        for value, count in values.value_counts().head(3).items():
            shown = f"{value:g}" if isinstance(value, float) else str(value)
            assert counts[shown] == f"{count:,}"
    u = ds.osca.sequences("dff", selected, pre=0.1, post=0.2)
    assert dict(describe(u).sections[1].rows) == rows
