"""Stimulus images: against a loop over frames."""

import numpy as np
import pytest

import oscaxr as ox
from oscaxr.errors import MissingVariableError, WindowError

SPEC = ox.sample.SampleSpec(n_rois=2, n_tracked=0, scale=0.01, field_shape=(48, 48))


@pytest.fixture(scope="module")
def ds(tmp_path_factory):
    path = ox.sample.write_nwb(
        SPEC,
        tmp_path_factory.mktemp("templates"),
        parts="behavior+image+ophys",
        template_frames=1000,
    )
    with ox.open_session(path, include="templates") as opened:
        yield opened


def naive_image(ds, frame):
    starts, stops = ds.start_frame_stim.values, ds.stop_frame_stim.values
    for segment in range(ds.sizes["segment"]):
        if starts[segment] <= frame < stops[segment]:
            row = ds.isel(segment=segment)
            position = int(row.start_frame_stim_template)
            if row.stimulus_type == "visflow":
                position += frame - int(row.start_frame_stim)
            name = str(row.stimulus_template_name.values)
            return ds[f"template_{name}"].values[position], segment, name, position
    raise LookupError(frame)


def test_images_equal_a_loop(ds):
    total = ds.sizes["stim_time"]
    frames = np.r_[0, 5, 3, 3, np.random.default_rng(0).integers(0, total, 40), total - 1]
    found = ox.stimulus_images(ds, frames)
    assert found.dims == ("frame", "template_height", "template_width")
    assert found.dtype == np.uint8
    assert len(set(found.stimulus_template_name.values)) == 4
    for position, frame in enumerate(frames):
        image, segment, name, in_template = naive_image(ds, frame)
        one = found.isel(frame=position)
        assert one.frame == frame
        assert one.segment == segment
        assert one.stimulus_template_name == name
        assert one.template_frame == in_template
        np.testing.assert_array_equal(one.values, image)


def test_images_from_memory_are_the_same(ds):
    memory = ox.sample.session(SPEC, include="templates")
    frames = [40, 3, 70, 3]
    np.testing.assert_array_equal(
        ox.stimulus_images(memory, frames), ox.stimulus_images(ds, frames)
    )


def test_one_frame_and_none(ds):
    assert ox.stimulus_images(ds, 4).sizes["frame"] == 1
    assert ox.stimulus_images(ds, []).sizes["frame"] == 0


def test_a_session_without_templates(ds):
    templates = [name for name in ds if str(name).startswith("template_")]
    with pytest.raises(MissingVariableError, match="include='templates'"):
        ox.stimulus_images(ds.drop_vars(templates), [0])


def test_a_template_that_is_missing_is_named(ds):
    with pytest.raises(MissingVariableError, match="no stimulus template gabors"):
        ox.stimulus_images(ds.drop_vars("template_gabors"), np.arange(ds.sizes["stim_time"]))


@pytest.mark.parametrize("frames", [[-1], [10**6], [1.5], [[1]]], ids=str)
def test_frames_outside_the_stimulus(ds, frames):
    with pytest.raises(WindowError):
        ox.stimulus_images(ds, frames)


def test_frames_beyond_the_end_of_a_template(ds):
    flow = ox.select_segments(ds, main_flow_direction="left")
    last = int(flow.stop_frame_stim[-1]) - 1
    dim = ds.template_visflow_left.dims[0]
    with pytest.raises(WindowError, match="beyond the 5 images of template_visflow_left"):
        ox.stimulus_images(ds.isel({dim: slice(5)}), [last])
