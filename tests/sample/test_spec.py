"""Descriptions of samples that are no numbers, or of which nothing could be made."""

import pytest

from oscaxr.sample.spec import SampleError, SampleSpec


@pytest.mark.parametrize(
    ("name", "value"),
    [("n_rois", "a"), ("scale", None), ("n_tracked", "a"), ("n_rois", 10**400), ("n_rois", 10**6)],
)
def test_what_is_no_number_or_too_large(name, value):
    with pytest.raises(SampleError, match=f"{name} is .*; give"):
        SampleSpec(**{name: value})
