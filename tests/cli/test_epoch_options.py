"""``--within``: the epochs that are meant, and the segments that lie in them."""

import pytest

import oscaxr as ox
from command_line import refused, told, told_json
from oscaxr.cli.epoch_options import Epochs, within


@pytest.fixture(scope="module")
def session(sample_path):
    with ox.open_session(sample_path) as ds:
        yield ds


def expected(ds):
    """What each name means, in the words of Python."""
    bouts = ds.osca.running_bouts()
    return {
        "running": bouts,
        "rest": ox.epoch_difference(ox.epochs(ds), bouts),
        "unexpected": ds.osca.select(unexpected=1).osca.epochs(),
        "expected": ds.osca.select(unexpected=0).osca.epochs(),
    }


@pytest.mark.parametrize("name", Epochs)
def test_each_name(session, sample_path, name):
    epochs = expected(session)[name]
    assert within(session, [name])["within"].identical(epochs)
    wanted = session.osca.select(gabor_frame=["A", "D", "U"], within=epochs)
    found = told_json("segments", sample_path, "gabor_frame=A,D,U", "--within", name)
    assert [row["segment"] for row in found["segments"]] == wanted.segment.values.tolist()


def test_several_names_and_none(session, sample_path, tmp_path):
    assert within(session, None) == {}
    names = ["--within", "running", "--within", "expected"]
    both = ox.epoch_intersection(*(expected(session)[name] for name in names[1::2]))
    wanted = session.osca.select(gabor_frame="A", within=both)
    assert 0 < wanted.sizes["segment"] < session.osca.select(gabor_frame="A").sizes["segment"]
    told("extract", sample_path, "gabor_frame=A", *names, "--post=0.1", "-o", tmp_path / "u.nc")
    with ox.open_exported(tmp_path / "u.nc") as u:
        assert u.segment.values.tolist() == wanted.segment.values.tolist()
    assert f"within {both.sizes['epoch']} epochs" in told("segments", sample_path, *names)


def test_a_picture_of_them(session, sample_path, tmp_path):
    words = ("responses", "gabor_frame=A", "--post=0.1", "--within", "running")
    drawn = told_json("plot", sample_path, *words, "-o", tmp_path / "u.png", "--dpi", 40)
    assert drawn["within"] == ["running"]
    chosen = session.osca.select(gabor_frame="A", within=expected(session)["running"])
    u = session.osca.sequences("dff", chosen, pre=1, post=0.1)
    assert drawn["panels"][0]["lines"][0]["y"] == pytest.approx(
        ox.stats(u, ("sequence", "roi"))["mean"].values
    )


def test_names_that_there_are_not(sample_path):
    assert "rest" in refused("segments", sample_path, "--within", "sleep", code=2)
