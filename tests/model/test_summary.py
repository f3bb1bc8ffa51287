"""What data say of themselves in a few lines."""

import re

import oscaxr as ox
from oscaxr.model.summary import as_html, summary


def test_a_session(memory_session):
    said = dict(summary(memory_session))
    assert "session_id 900000001" in said["session"]
    assert said["ROIs"] == "7, 4 tracked"
    assert re.fullmatch(r"[\d,]+ \(time [\d.]+ to [\d.]+ min\)", said["two-photon frames"])
    counts = memory_session.stimulus_type.to_series().value_counts()
    assert f"gabors: {counts['gabors']}" in said["stimulus_type"]


def test_sequences_show_their_times_and_frames(memory_session):
    segments = ox.select_segments(memory_session, gabor_frame="U")
    u = ox.sequences(memory_session, "dff", segments, pre=1, post=0.6)
    said = dict(summary(u))
    assert said["rel_time"].startswith("-1.0")
    assert said["gabor_frame"] == f"U: {u.sizes['sequence']}"
    assert said["sequences"] == str(u.sizes["sequence"])
    for word in ("rel_time", "gabor_frame", "sequences"):
        assert word in repr(u.osca)


def test_a_selection_in_a_notebook(memory_session):
    segments, explanation = ox.select_segments(
        memory_session, gabor_frame=["D", "U"], gabor_kappa=16, explain=True
    )
    page = segments.osca._repr_html_()
    assert "<svg" in page
    assert "gabor_frame" in page
    table = explanation._repr_html_()
    assert table.count("<tr>") == len(explanation)
    assert f"{segments.sizes['segment']:,}" in table
    assert "&#x27;gabors&#x27;" in table


def test_nothing_selected(memory_session):
    nothing = ox.select_segments(memory_session, gabor_frame="U", unexpected=0)
    assert "<svg" not in as_html(nothing)
    assert dict(summary(nothing))["segments"] == "0"


def test_a_session_of_hundreds_of_thousands_of_frames_is_small(memory_session):
    assert len(memory_session.osca._repr_html_()) < 20_000
