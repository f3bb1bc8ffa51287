"""What is declared of variables is true for other software: units for UDUNITS and pint, CF axes."""

import numpy as np
import pytest

import oscaxr as ox
from oscaxr.analyses.positions import _POSITION_ATTRS
from oscaxr.analyses.tuning import _TUNING_ATTRS
from oscaxr.model.facts import FACTS
from oscaxr.model.schema import DATASET_ATTRS, SEQUENCES, SESSION, template_spec

cf_units = pytest.importorskip("cf_units")
pint_xarray = pytest.importorskip("pint_xarray")
pytest.importorskip("cf_xarray")

DECLARED = [*SESSION.values(), *SEQUENCES.values(), *FACTS, template_spec("gabors")]


@pytest.fixture(scope="module")
def u(memory_session):
    segments = memory_session.osca.select(gabor_frame="U")
    return memory_session.osca.sequences("dff", segments, post=0.3)


def test_units_are_those_of_udunits_and_of_pint():
    words = {spec.units for spec in DECLARED if spec.units}
    found = [*_POSITION_ATTRS.values(), *_TUNING_ATTRS.values()]
    words |= {attrs["units"] for attrs in found if "units" in attrs}
    assert {"1", "s", "mm", "cm/s", "degree", "um"} <= words
    for word in words:
        ours, theirs = cf_units.Unit(word), pint_xarray.unit_registry.Unit(word)
        for base in ("1", "s", "m", "cm/s"):
            same = theirs.is_compatible_with(base)
            assert ours.is_convertible(base) == same, word
            if same:
                factor = pint_xarray.unit_registry.Quantity(1.0, theirs).to(base).magnitude
                assert ours.convert(1.0, base) == pytest.approx(factor, rel=1e-6), word


def test_nothing_claims_what_is_not_true():
    assert "Conventions" not in DATASET_ATTRS
    assert not any("standard_name" in spec.attrs for spec in DECLARED)


def test_cf_xarray_knows_the_axes(memory_session, u):
    assert memory_session.cf.axes == {
        "T": ["stim_time", "time"],
        "X": ["width"],
        "Y": ["height"],
    }
    assert memory_session.dff.cf["T"].name == "time"
    assert memory_session.run_velocity.cf["T"].name == "stim_time"
    assert u.cf["T"].name == "rel_time"
    size = memory_session.roi_mask.cf.sum(["Y", "X"])
    np.testing.assert_array_equal(size, memory_session.area_px)


def test_pint_sees_the_units(memory_session):
    quantities = memory_session[["run_velocity", "pupil_diameter", "gabor_orientation"]].pint
    found = quantities.quantify().pint.to({"run_velocity": "m/s", "gabor_orientation": "rad"})
    np.testing.assert_allclose(
        found.run_velocity.pint.dequantify(), memory_session.run_velocity / 100
    )
    np.testing.assert_allclose(
        found.gabor_orientation.pint.dequantify(), np.radians(memory_session.gabor_orientation)
    )
    assert found.pupil_diameter.pint.units == "millimeter"
    again = quantities.quantify().pint.dequantify(format="~")
    assert again.run_velocity.attrs["units"] == "cm / s"


def test_tables_have_units(memory_session, u):
    units = memory_session.osca.segment_table().attrs["units"]
    assert units["start_time_sec"] == "s"
    assert units["gabor_mean_orientation"] == "degree"
    assert "gabor_frame" not in units
    long = ox.to_frame(u)
    assert long.attrs["units"]["rel_time"] == "s"
    spec = ox.sample.SampleSpec()
    table = ox.session_table(ox.sample.sample_session_table([spec]))
    assert table.query("plane == 'soma'").attrs["units"] == {"age_weeks": "weeks", "depth": "um"}
