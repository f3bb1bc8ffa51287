"""An old name is an error that says the new one."""

import pickle
from importlib import import_module

import cloudpickle
import pytest

import command_line
import oscaxr as ox
from oscaxr import download
from oscaxr.errors import OscaxrError, RenamedError
from oscaxr.renamed import NAMES


def test_the_function_is_a_package_now():
    with pytest.raises(OscaxrError, match=r"oscaxr\.session_table\(") as caught:
        ox.sessions("mouse_df.csv")
    assert isinstance(caught.value, TypeError)
    assert pickle.loads(pickle.dumps(ox.sessions)) is ox.sessions
    assert cloudpickle.loads(cloudpickle.dumps(lambda: ox.sessions))() is ox.sessions
    assert pickle.loads(pickle.dumps(ox.sessions.open.open_session)) is ox.open_session


@pytest.mark.parametrize(
    ("keywords", "says"),
    [
        ({"sessions": "mouse_df.csv"}, 'table="mouse_df.csv"'),
        ({"runtype": "pilot"}, 'run_type="prod"'),
        ({"sessions": "t.csv", "runtype": "pilot"}, "run_type=.*table="),
    ],
)
def test_old_keywords(keywords, says):
    with pytest.raises(OscaxrError, match=says) as caught:
        ox.open_session(1, **keywords)
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"gabk": 16}, "gabor_kappa=16"),
        ({"gabfr": 3}, "gabor_frame="),
        ({"unexp": 1}, "unexpected=1"),
        ({"remconsec": True}, "run_start=True"),
        ({"visflow_dir": "right"}, "main_flow_direction="),
        ({"visflow_size": 128}, "square_size="),
        ({"gab_ori": 90}, "gabor_mean_orientation="),
        ({"by": "frame"}, "segment_table"),
        ({"stimtype": "gabors"}, 'stimulus="gabors"'),
    ],
)
def test_words_of_the_published_tool_in_selection(memory_session, words, says):
    with pytest.raises(OscaxrError, match=says):
        memory_session.osca.select(**words)


@pytest.mark.parametrize(
    ("words", "says"),
    [({"ch_fl": [1, 1]}, "edge="), ({"fr_type": "twop"}, "clock="), ({"integ": True}, "integrate")],
)
def test_words_of_the_published_tool_in_extraction(memory_session, words, says):
    with pytest.raises(OscaxrError, match=says):
        memory_session.osca.sequences("dff", [3], post=0.3, **words)
    with pytest.raises(TypeError, match="'posts'"):
        memory_session.osca.sequences("dff", [3], posts=0.3)
    with pytest.raises(OscaxrError, match=r'sequences\("dff", segments\)'):
        memory_session.osca.sequences(memory_session.osca.select(gabor_frame="U"))


@pytest.mark.parametrize(
    ("call", "words", "says"),
    [
        ("sequences", {"gabfr": 1}, r'gabfr= is now ds\.osca\.select\(gabor_frame="U"\)'),
        ("sequences", {"sess_id": 1}, r"sess_id= is now oscaxr\.open_session\(session_id="),
        ("sequences", {"padding": (1, 1)}, r"padding= is now pad=\(1, 1\)"),
        ("responses", {"gabk": 16}, r"gabk= is now ds\.osca\.select\(gabor_kappa=16\)"),
        ("responses", {"ch_fl": [1, 1]}, r"ch_fl= is now ds\.osca\.sequences\(\.\.\., edge="),
        ("select", {"stim": "gabors"}, r"stim= is now stimulus="),
        ("select", {"bri_dir": "right"}, r"bri_dir= is now main_flow_direction="),
        ("select", {"bri_size": 128}, r"bri_size= is now square_size="),
        ("select", {"sess_n": 1}, r"sess_n= is now oscaxr\.open_session\(session=1\)"),
    ],
)
def test_words_of_another_call_say_which(memory_session, call, words, says):
    given = {"sequences": ("dff", [3]), "responses": ([3],), "select": ()}[call]
    with pytest.raises(OscaxrError, match=says):
        getattr(memory_session.osca, call)(*given, **words)


def test_words_that_only_other_calls_have(memory_session):
    with pytest.raises(RenamedError, match=r"gabk= is now ds\.osca\.select\(gabor_kappa=16\)"):
        ox.open_session(1, gabk=16)
    with pytest.raises(RenamedError, match=r"layer= is now oscaxr\.default_sessions\(.*line="):
        ox.open_session(1, layer="L5")
    with pytest.raises(RenamedError, match=r"mouse_n= is now mouse=1; stimtype= is now stimulus="):
        ox.default_sessions("mouse_df.csv", mouse_n=1, stimtype="gabors")
    u = memory_session.osca.sequences("run_velocity", [3], post=0.3)
    for method in (u.osca.baseline, u.osca.integrate):
        with pytest.raises(RenamedError, match=r"rel_time= is now window=\(-0\.5, 0\)"):
            method(rel_time=slice(0, 0.1))
        with pytest.raises(TypeError, match=r"'windows' \(do you mean window\?\)"):
            method(windows=(0, 0.1))


@pytest.mark.parametrize(
    ("call", "given"),
    [
        *((call, ()) for call in ("segment_table", "blocks", "tracked")),
        ("patches", ([3],)),
        ("patches_around", ([300],)),
        ("segments_at", ([300],)),
        ("convert_frames", ([300], "stim")),
        ("stimulus_images", ([300],)),
    ],
)
def test_whatever_selects_answers_them(memory_session, call, given):
    words = {"pre": 0, "post": 0.3} if call == "patches_around" else {}
    method = getattr(memory_session.osca, call)
    with pytest.raises(RenamedError, match=r"gabfr= is now .*gabor_frame=\"U\""):
        method(*given, **words, gabfr=3)
    with pytest.raises(TypeError, match="'gabors'"):
        method(*given, **words, gabors=3)


def test_whatever_opens_answers_them(tmp_path):
    calls = (ox.session_table, ox.find_sessions, ox.open_exported, ox.align_tracked)
    for call in calls:
        with pytest.raises(RenamedError, match=rf"{call.__name__}: sess_n= is now .*session=1"):
            call(tmp_path, sess_n=1)


@pytest.mark.parametrize("word", ["mouse_n", "sess_n", "mouse_df", "sessid", "fluor"])
def test_words_of_the_published_tool_in_opening(word):
    with pytest.raises(OscaxrError, match=f"{word}= is now"):
        ox.open_session(**{word: 1})


def test_keywords_that_never_were():
    with pytest.raises(TypeError, match="sesions=3: there is no such option"):
        ox.open_session(1, sesions=3)
    with pytest.raises(OscaxrError, match="run_type="):
        download.plan(runtype="pilot")


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("info", "--mouse", "1", "--runtype", "prod"), "--runtype is now --run-type"),
        (("sessions", "x", "--runtype=prod"), "--runtype is now --run-type"),
        (("convert", "a", "b", "--sessions", "t.csv"), "--sessions is now --table"),
    ],
)
def test_old_options(args, says):
    assert says in command_line.refused(*args, code=2)


def test_old_names():
    gone = set(NAMES) - {"sessions"}
    for name in gone:
        assert name not in ox.__all__
        assert not hasattr(ox, name)
        with pytest.raises(OscaxrError, match=rf"oscaxr\.{name} is now oscaxr\.") as caught:
            getattr(ox, name)
        assert isinstance(caught.value, AttributeError)
        place, _, function = NAMES[name].partition(" ")[0].rpartition(".")
        assert callable(getattr(import_module(place), function))
    with pytest.raises(AttributeError, match="'never'"):
        ox.never  # noqa: B018
    assert len(ox.__all__) <= 58
