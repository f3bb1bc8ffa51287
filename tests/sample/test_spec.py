"""Descriptions of samples that are no numbers, or of which nothing could be made."""

from dataclasses import fields
from datetime import date, datetime

import numpy as np
import pytest

from oscaxr.sample.spec import SampleError, SampleSpec


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_rois", "a"),
        ("scale", None),
        ("n_tracked", "a"),
        ("n_rois", 10**400),
        ("n_rois", 10**6),
        ("seed", 2.5),
        ("session_number", float("inf")),
        ("n_rois", True),
        ("mouse_number", 0),
        ("depth", "deep"),
        ("field_shape", 5),
        ("field_shape", (64,)),
        ("field_shape", (64, 47)),
        ("field_shape", (64.0, 64.0)),
        ("field_shape", "ab"),
        ("birth", date(2001, 1, 1)),
        ("start", datetime(2001, 1, 1)),
    ],
)
def test_what_is_no_number_or_too_large(name, value):
    with pytest.raises(SampleError, match=f"{name} is .*; give"):
        SampleSpec(**{name: value})


@pytest.mark.parametrize("name", [field.name for field in fields(SampleSpec)])
@pytest.mark.parametrize("value", ["a", -3, np.array([64, 64]), {}, float("nan")], ids=repr)
def test_every_fact_is_checked(name, value):
    with pytest.raises(SampleError, match=f"{name} is "):
        SampleSpec(**{name: value})
