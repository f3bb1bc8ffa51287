"""``oscaxr plot``: a picture of a session, into a file."""

import pytest

import oscaxr as ox
from command_line import refused, told, told_json
from oscaxr.cli.plot import PICTURES

PICTURE_WORDS = {
    "overview": (),
    "responses": ("gabor_frame=D,U", "--by", "gabor_frame", "--gabor-frames"),
    "expected-unexpected": ("stimulus=visflow", "--pre", "0.5", "--scale"),
    "heatmap": ("gabor_frame=U", "--baseline", "0.5", "--sort-by", "gabor_frame=D"),
    "tracked": ("--scale",),
    "behavior": ("gabor_frame=U", "--post", "2"),
    "masks": (),
    "contours": ("--highlight", "3", "--highlight", "1", "--zoom", "--projection"),
    "projection": (),
    "stimulus": ("segment=0,1",),
}


@pytest.fixture(scope="module")
def first(sample_path):
    """The small sample session. Not to be written to."""
    return sample_path


@pytest.fixture(scope="module")
def mouse(tmp_path_factory):
    """The folder of a mouse's sessions, with templates in a folder of their own."""
    folder = tmp_path_factory.mktemp("mouse")
    ox.sample.write_mouse(folder / "data", scale=0.02, n_rois=4, n_tracked=2)
    spec = ox.sample.SampleSpec(scale=0.02, n_rois=4, n_tracked=2, dropped=0.0)
    ox.sample.write_nwb(spec, folder / "templates", parts="behavior+image+ophys")
    return folder


def test_every_picture_is_tested():
    assert set(PICTURE_WORDS) == set(PICTURES)


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(one, marks=[pytest.mark.slow] * (one not in ("heatmap", "tracked")))
        for one in PICTURE_WORDS
    ],
)
def test_pictures(kind, first, mouse, tmp_path):
    out = tmp_path / "figure.png"
    sessions = {
        "tracked": ("--mouse", 1, "--datadir", mouse / "data"),
        "stimulus": (*mouse.glob("templates/**/*.nwb"),),
    }.get(kind, (first,))
    words = (*sessions, kind, *PICTURE_WORDS[kind], "-o", out, "--dpi", 50)
    assert told("plot", *words) == f"Wrote {out}\n"
    from matplotlib import image

    pixels = image.imread(out)
    width, height = PICTURES[kind].size
    assert pixels.shape[:2] == (int(height * 50), int(width * 50))
    assert pixels[..., :3].std() > 0.02
    # Nothing runs out of the figure.
    assert (pixels[[0, -1], :, :3] == 1).all()


@pytest.mark.slow
def test_the_kind_and_the_session_in_any_order(first, tmp_path):
    told("plot", "overview", first, "-o", tmp_path / "a.svg")
    told("plot", first, "overview", "-o", tmp_path / "b.pdf", "--width", 4, "--height", 3)
    assert b"<svg" in (tmp_path / "a.svg").read_bytes()
    assert (tmp_path / "b.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.slow
def test_the_title_says_what_is_shown(first, mouse, tmp_path):
    svg = tmp_path / "a.svg"
    told("plot", first, "responses", "gabor_frame=D,U", "start_time=0:", "-o", svg)
    text = svg.read_text()
    assert "session 900000001" in text
    assert "gabor_frame=D,U, start_time=0:inf" in text
    paths = sorted(mouse.glob("data/**/*.nwb"))
    told("plot", *paths[:2], "tracked", "--table", mouse / "data" / "mouse_df.csv",
         "-o", svg, "--overwrite")  # fmt: skip
    assert "mouse 1, sessions 1, 2" in svg.read_text().replace("&#160;", " ")
    assert "gabor_frame=U" in svg.read_text()


def test_json_tells_what_was_drawn(first, tmp_path):
    out = tmp_path / "u.png"
    words = ("responses", "gabor_frame=U", "--post", "0.5", "-o", out, "--dpi", 40)
    found = told_json("plot", first, *words)
    assert (found["path"], found["bytes"]) == (str(out), out.stat().st_size)
    assert (found["picture"], found["criteria"]) == ("responses", {"gabor_frame": "U"})
    assert found["options"] == {"post": 0.5}
    assert found["sessions"][0]["session_id"] == 900000001
    assert found["synthetic"]
    (panel,) = found["panels"]
    assert panel["legend"] == ["mean", "band: SEM over ROIs"]
    assert "session 900000001" in panel["title"]
    (line,) = panel["lines"]
    with ox.open_session(first) as ds:
        u = ds.osca.sequences("dff", ds.osca.select(gabor_frame="U"), pre=1, post=0.5)
        expected = ox.stats(u, ("sequence", "roi"))["mean"].values
    assert line["x"] == pytest.approx(u.rel_time.values)
    assert line["y"] == pytest.approx(expected)
    out = tmp_path / "c.png"
    (panel,) = told_json("plot", first, "contours", "-o", out, "--dpi", 40)["panels"]
    assert panel["contours"] == u.sizes["roi"]


@pytest.mark.parametrize(
    ("words", "says", "code"),
    [
        (("overview", "--pre", 1), "--pre would have no effect on the picture overview", 1),
        (("overview", "gabor_frame=U"), "gabor_frame=... would have no effect", 1),
        (("heatmap", "--gabor-frames"), "--gabor-frames would have no effect", 1),
        (("responses", "gabor_frame=Z"), "allowed are 'A'", 1),
        (("heatmap", "gabor_frame=U", "gabor_kappa=4"), "no segment fulfils the criteria", 1),
        (("responses", "gabor_frame=U", "--by", "start_time", "--baseline", 9), "baseline", 1),
        (("responses", "--by", "start_time"), "at most 12 groups", 1),
        (("responses", "--by", "gabor_kappa"), "have no value of it", 1),
        (("responses", "--by", "gabor_frame"), "have no value of it", 1),
        (("responses", "--by", "odd"), "no such column", 1),
        (("expected-unexpected", "gabor_frame=U"), "not gabor_frame", 1),
        (("expected-unexpected", "--within", "rest"), "--within would have no effect", 1),
        (("contours", "--zoom"), "--zoom is about highlighted ROIs", 1),
        (("contours", "--highlight", 3, "--highlight", 3), "named twice", 1),
        (("heatmap", "gabor_frame=U", "--sort-by", "D"), "written NAME=VALUE", 1),
        (("stimulus",), "templates", 1),
        (("tracked",), "two or more", 1),
        (("piechart",), "KIND is one of: overview", 2),
        ((), "KIND is one of: overview", 2),
        (("overview", "masks"), "one at a time", 2),
    ],
)
def test_pictures_that_cannot_be_drawn(first, tmp_path, words, says, code):
    assert says in refused("plot", first, *words, "-o", tmp_path / "f.png", code=code)
    assert list(tmp_path.iterdir()) == []


def test_figures_are_replaced_only_when_told(first, tmp_path):
    out = tmp_path / "f.png"
    out.write_text("mine")
    assert "--overwrite" in refused("plot", first, "projection", "-o", out)
    assert out.read_text() == "mine"
    told("plot", first, "projection", "-o", out, "--overwrite")
    assert out.read_bytes().startswith(b"\x89PNG")
    assert ".png" in refused("plot", first, "projection", "-o", tmp_path / "f.docx")
    assert [path.name for path in tmp_path.iterdir()] == ["f.png"]


def test_tracked_needs_a_mouse_that_is_there(mouse, tmp_path):
    data = mouse / "data"
    words = ("plot", "tracked", "-o", tmp_path / "f.png")
    assert "has no mouse 7; it has the mice 1" in refused(*words, "--mouse", 7, "--datadir", data)
    assert "say which sessions" in refused(*words, code=2)
    assert "sessions once" in refused(*words, "a.nwb", "b.nwb", "--mouse", 1, code=2)
    assert "two or more" in refused(*words, "--mouse", 1, "--session", 1, "--datadir", data)


@pytest.mark.slow
def test_too_many_images_are_refused_at_once(mouse, tmp_path):
    (path,) = mouse.glob("templates/**/*.nwb")
    text = refused("plot", path, "stimulus", "stimulus=gabors", "-o", tmp_path / "f.png")
    assert "one picture shows 1 to 60" in text
