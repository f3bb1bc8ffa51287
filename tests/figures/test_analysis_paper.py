"""From results of sessions to those of groups: the published numbers, and plain loops."""

import numpy as np
import pytest
import xarray as xr

from oscaxr import analyses
from oscaxr.figures import session_results as of_session
from oscaxr.figures.material import GapError
from oscaxr.figures.panels import panels
from published_figures import sessions_of_one_mouse, table_of, tracked_usis
from surveyed_sessions import material_of


def built(name, results, permutations=2000):
    (panel,) = panels("analysis", name)
    return panel.build(material_of(results, panel.compared, permutations))


@pytest.mark.parametrize(
    ("panel", "column"), [("4G", "abs_roi_idx_stats"), ("4H", "roi_idx_stats")]
)
def test_panels_of_the_published_indices_have_the_published_numbers(panel, column):
    found = built(panel, {of_session.TRACKED: tracked_usis()})["statistics"]
    assert found.attrs["comparisons"] == 12
    for row in table_of(panel.lower()).itertuples():
        own = found.sel(group=f"{row.lines} {row.planes}", session=row.sess_ns)
        value, error = getattr(row, column)
        assert own["value"].item() == pytest.approx(value, abs=1e-12)
        if panel == "4G":
            assert own["error"].item() == pytest.approx(error, abs=1e-12)


def test_correlations_of_the_published_indices_are_the_published_ones():
    results = {of_session.TRACKED: tracked_usis()}
    found = built("9C", results)["correlations"]
    for row in table_of("9c").to_dict("records"):
        group = f"{row['lines']} {row['planes']}"
        for pair in ("1-2", "2-3"):
            recorded = row[f"{pair.replace('-', 'v')}_corrs"]
            own = found["correlation"].sel(group=group, pair=pair).item()
            assert own == pytest.approx(recorded, abs=1e-12)
    assert found.attrs["comparisons"] == 8


@pytest.mark.slow
def test_scattered_indices_are_those_that_are_correlated():
    first = [one for one in tracked_usis() if one.session < 3]
    found = built("9A", {of_session.TRACKED: first})
    for row in table_of("9c").to_dict("records"):
        own = found["correlations"].sel(group=f"{row['lines']} {row['planes']}", pair="1-2")
        assert own["correlation"].item() == pytest.approx(row["1v2_corrs"], abs=1e-12)
    assert found["correlations"].attrs["comparisons"] == 8
    assert found["indices"].sizes["roi"] == 2 * 1160


def test_one_session_has_no_other_to_be_correlated_with():
    with pytest.raises(GapError, match="session 2 only"):
        built("9B", {of_session.TRACKED: [one for one in tracked_usis() if one.session == 2]})


def by_thirds(random, n_rois=9):
    return [
        one.rename(index="first").assign(
            last=("roi", random.normal(1, 1, n_rois)), change=("roi", random.normal(1, 1, n_rois))
        )
        for one in sessions_of_one_mouse(*random.normal(0, 1, (2, n_rois)), dim="roi")
    ]


def test_thirds_are_exchanged_within_each_roi():
    random = np.random.default_rng(3)
    results = by_thirds(random)
    results = [one.assign(change=one["last"] - one["first"]) for one in results]
    found = built("3B", {of_session.THIRDS: results}, permutations=20_000)
    for number, one in enumerate(results, start=1):
        change = one["change"].values
        drawn = [
            np.mean([c * sign for c, sign in zip(change, signs, strict=True)])
            for signs in random.choice([-1, 1], (4000, len(change)))
        ]
        share = np.mean(np.array(drawn) < change.mean())
        raw = min(share, 1 - share)
        own = found["change"]["raw_p"].sel(session=number).item()
        assert abs(own - raw) < 4 * np.sqrt(max(raw, 1e-3) / 4000)
        assert found["change"]["mean"].sel(session=number).item() == pytest.approx(change.mean())
        assert found["first_third"]["mean"].sel(session=number).item() == pytest.approx(
            one["first"].values.mean()
        )
    assert found["change"].attrs["comparisons"] == 2


def differences(number, n_rois, *unknown):
    """Return the differences of a session, some ROIs of which are not known, nor in its null."""
    random = np.random.default_rng(number)
    (one,) = sessions_of_one_mouse(random.normal(1, 1, n_rois), dim="roi")
    one["index"][list(unknown)] = np.nan
    null = ("permutation", random.normal(0, 0.5, 500))
    known = one.rename(index="difference").assign(null=null, n_rois=n_rois - len(unknown))
    return known.assign_coords(session=number, session_id=number)


def test_rois_without_a_difference_are_left_out_by_name():
    (panel,) = panels("analysis", "2B")
    whole = [differences(1, 5, 2), differences(2, 4), differences(3, 2, 0, 1)]
    material = material_of({of_session.DIFFERENCES: whole}, panel.compared)
    found = panel.build(material)["differences"]
    words = "which have responses that are NaN or infinite"
    assert material.left_out == [
        f"1 of 5 ROIs of session 1, {words}",
        f"2 of 2 ROIs of session 3, {words}",
    ]
    assert material.used == {1, 2}
    known = [one.isel(roi=one["difference"].notnull().values) for one in whole[:2]]
    alone = material_of({of_session.DIFFERENCES: known}, panel.compared)
    xr.testing.assert_identical(found, panel.build(alone)["differences"])
    assert np.isfinite(found["mean"]).all()
    assert alone.left_out == []
    with pytest.raises(GapError, match="2 of 2 ROIs of session 3"):
        panel.build(material_of({of_session.DIFFERENCES: whole[2:]}, panel.compared))


def test_rois_without_a_difference_in_one_of_the_thirds_are_left_out_by_name():
    (panel,) = panels("analysis", "3B")
    whole = by_thirds(np.random.default_rng(4))
    known = [one.isel(roi=slice(1, None)) for one in whole]
    whole[0]["first"][0], whole[1]["last"][0] = np.nan, np.nan
    material = material_of({of_session.THIRDS: whole}, panel.compared)
    found = panel.build(material)
    assert [words[:27] for words in material.left_out] == [
        f"1 of 9 ROIs of session {number}, " for number in (11, 12)
    ]
    for name, alone in built("3B", {of_session.THIRDS: known}, 1000).items():
        xr.testing.assert_identical(found[name], alone)


def frames(mouse, *numbers):
    random = np.random.default_rng(mouse)
    values = random.uniform(1, 2, (2, 5))
    return [
        one.drop_vars("index").assign(response=(("group", "roi"), values + number))
        .assign_coords(group=["expected", "unexpected"], mouse_id=mouse, session=number,
                       session_id=10 * mouse + number)
        for number, one in zip(
            numbers, sessions_of_one_mouse(*[values[0]] * len(numbers), dim="roi"), strict=True
        )
    ]  # fmt: skip


def test_mice_without_the_session_that_others_are_relative_to_are_left_out_by_name():
    results = [*frames(1, 1, 2), *frames(2, 2, 3)]
    (panel,) = panels("analysis", "7A")
    material = material_of({of_session.FLOW_FRAMES: results}, panel.compared)
    found = panel.build(material)
    alone = panel.build(material_of({of_session.FLOW_FRAMES: results[:2]}, panel.compared))
    np.testing.assert_array_equal(found["expected"]["mean"], alone["expected"]["mean"])
    assert material.left_out == ["mice 2 have no session 1, which others are relative to"]
    assert material.used == {11, 12}
    with pytest.raises(GapError, match="mice 2 have no session 1"):
        panel.build(material_of({of_session.FLOW_FRAMES: results[2:]}, panel.compared))


def test_stimuli_are_compared_in_the_sessions_that_have_both():
    gabors, flow = frames(1, 1, 3), frames(1, 1, 3)
    frame = ["A", "B", "C", "D", "U", "G"]
    gabors = [one.assign(response=one["response"].expand_dims(gabor_frame=frame)) for one in gabors]
    results = {of_session.FRAMES: [*gabors, *gabors_of_second(frame)], of_session.FLOW_FRAMES: flow}
    found = built("7B", results)["comparison"]
    assert found["group"].values.tolist() == ["L5-Rbp4 dend", "all"]
    alone = built("7B", {of_session.FRAMES: gabors, of_session.FLOW_FRAMES: flow})["comparison"]
    np.testing.assert_array_equal(found["change"], alone["change"])


def gabors_of_second(frame):
    return [one.assign(response=one["response"].expand_dims(gabor_frame=frame))
            for one in frames(2, 1, 3)]  # fmt: skip


def test_examples_are_the_rois_nearest_to_what_is_wanted():
    index = np.array([0.9, 0.52, 0.1, -0.02, -0.45, -0.9])
    percentile = np.array([99.0, 99.0, 50.0, 50.0, 1.0, 1.0])
    (one,) = sessions_of_one_mouse(index, dim="roi")
    significant = (percentile < 2.5) | (percentile > 97.5)
    indices = one.assign(percentile=("roi", percentile), significant=("roi", significant))
    traces = one.drop_vars("index").assign(
        mean=(("group", "roi", "rel_time"), np.tile(index[:, None], (2, 1, 3)))
    )
    traces = traces.assign(sem=traces["mean"]).assign_coords(
        group=["expected", "unexpected"], rel_time=[0.0, 0.1, 0.2],
        rel_frame=("rel_time", [0, 1, 2]),
    )  # fmt: skip
    found = built("4A", {of_session.INDICES: [indices], of_session.TRACES: [traces]})["examples"]
    assert found["index"].values.tolist() == [0.52, -0.02, -0.45]
    shown = found["mean"].isel(response_group=0, rel_frame=0)
    assert shown.values.tolist() == [0.52, -0.02, -0.45]


@pytest.mark.parametrize("lacking", [of_session.INDICES, of_session.TRACES])
def test_examples_are_of_the_sessions_that_have_indices_and_traces(lacking):
    first, second = sessions_of_one_mouse([0.5, 0.1], [0.9, 0.4], dim="roi")
    indices = [
        one.assign(percentile=("roi", [99.0, 50.0]), significant=("roi", [True, False]))
        for one in (first, second)
    ]
    shown = (("group", "roi", "rel_time"), np.ones((2, 2, 3)))
    traces = [
        one.drop_vars("index").assign(mean=shown, sem=shown).assign_coords(
            group=["expected", "unexpected"], rel_time=[0.0, 0.1, 0.2],
            rel_frame=("rel_time", [0, 1, 2]),
        )
        for one in (first, second)
    ]  # fmt: skip
    results = {of_session.INDICES: indices, of_session.TRACES: traces}
    material = material_of(results, panels("analysis", "4A")[0].compared)
    number = int(second["session_id"])
    del material.computed.results[lacking.name][number]
    material.computed.failures[lacking.name] = {number: "too few sequences"}
    found = panels("analysis", "4A")[0].build(material)["examples"]
    assert set(found["session_id"].values.tolist()) == {int(first["session_id"])}
    assert material.left_out == [f"session {number}: too few sequences"]
    assert material.used == {int(first["session_id"])}


def test_running_is_averaged_over_mice():
    traces = []
    for mouse in (1, 2, 3):
        facts = {"mouse_id": mouse, "session_id": mouse, "session": 1, "line": "a", "plane": "b"}
        (one,) = sessions_of_one_mouse([0.0], dim="roi")
        values = ("group", "rel_time"), np.full((2, 4), float(mouse))
        time = {"rel_time": np.arange(4) / 60, "rel_frame": ("rel_time", np.arange(4))}
        traces.append(
            one.drop_dims("roi").assign(mean=values, sem=values, n_sequences=("group", [5, 6]))
            .assign_coords(group=["expected", "unexpected"], **time, **facts)
        )  # fmt: skip
    found = built("8A", {of_session.RUNNING: traces, of_session.PUPIL: traces})
    assert set(found) == {"running", "pupil"}
    assert (found["running"]["mean"] == 2).all()
    np.testing.assert_allclose(found["running"]["sem"], 1 / np.sqrt(3))


def test_pairs_of_blocks_are_those_that_are_tested():
    (one,) = sessions_of_one_mouse([0.0], dim="roi")
    values = np.array([[1.0, 2.0, 3.0], [2.0, 5.0, 7.0]])
    blocks = one.drop_dims("roi").assign(
        dict.fromkeys(("run_velocity", "pupil_diameter"), (("group", "pair"), values))
    )
    blocks = blocks.assign_coords(group=["expected", "unexpected"])
    found = built("8B", {of_session.BLOCKS: [blocks]})
    assert found["pairs"]["run_velocity"].values.tolist() == [1.0, 3.0, 4.0]
    assert found["running"]["mean"].item() == pytest.approx(8 / 3)
    tested = analyses.block_differences(
        analyses.pool([blocks], dim="pair"), permutations=2000, seed=1
    )
    np.testing.assert_array_equal(found["running"]["p"], tested["p"])
