"""Whatever takes a path takes an address: each parameter, each option."""

import importlib
import inspect
import json

import pytest

import oscaxr as ox
from command_line import invoke, refused, told
from oscaxr import figures
from oscaxr.errors import OscaxrError
from oscaxr.sessions.settings import TABLE_NAME
from small_sessions import small_spec

fsspec = pytest.importorskip("fsspec")

ID = 900000001
ROOT = "memory://all"
DATA, OUT = f"{ROOT}/data", f"{ROOT}/out"
PUBLISHED, MATCHES = f"{ROOT}/published.csv", f"{ROOT}/m.json"
CSV, NWB, INDEX = f"{DATA}/{TABLE_NAME}", f"{ROOT}/s.nwb", f"{ROOT}/sessions.json"
NO_NETCDF = "netCDF is one HDF5 file"


@pytest.fixture(scope="module", autouse=True)
def memory(tmp_path_factory, original_folders):
    """A store that has a data folder with its table, the file of a session, and an index."""
    folder = tmp_path_factory.mktemp("all") / "data"
    ox.sample.write_mouse(folder, scale=0.01, n_rois=2, n_tracked=1)
    store = fsspec.filesystem("memory")
    store.put(str(folder), "/all/data", recursive=True)
    (path,) = folder.rglob(f"*{ID}*.nwb")
    store.put(str(path), "/all/s.nwb")
    (matches,) = original_folders["soma"].rglob("*matched_rois.json")
    store.put(str(matches), "/all/m.json")
    store.pipe("/all/published.csv", b"sessid,mouseid,mouse_n,sess_n\n758519303,408021,1,1\n")
    ox.write_index([NWB], INDEX)
    yield store
    store.rm("/all", recursive=True)


def opened(*args, **options):
    with ox.open_session(*args, **options) as ds:
        assert int(ds.session_id) == ID


def tree(*args, **options):
    with ox.open_sessions(*args, **options) as found:
        assert len(found.leaves) >= 1


def mapped(sessions, **options):
    found = ox.map_sessions(ox.n_tracked, sessions, scheduler="synchronous", **options)
    assert found.values[0] == 1


def saved(path):
    with ox.open_session(NWB) as ds:
        return ox.save(ds[["run_velocity"]], path)


def converted(sources, folder, **options):
    found = ox.convert(sources, folder, workers=1, **options)
    assert found[0].status in ("written", "verified")


def exported(path):
    with ox.open_exported(saved(path)) as ds:
        assert "run_velocity" in ds


def indexed(sessions, path=f"{OUT}/i.json", **options):
    assert ox.write_index(sessions, path, overwrite=True, **options) == path


def fetched(planned):
    # Of the archive nothing is asked: what is there is not its file.
    fsspec.filesystem("memory").pipe(f"/all/out/{planned.assets[0].path}", b"mine")
    with pytest.raises(OscaxrError, match="it has 4 bytes"):
        ox.download.fetch(planned, OUT)


def below(address):
    assert address.startswith(f"{OUT}/")


def drawn(sessions, folder, **options):
    made = figures.make_figures(sessions, folder, figure="1", paper="dataset", **options)
    assert made.sessions == [ID, ID + 1, ID + 2]


# What is done with the address of each.
PARAMETERS = {
    "open_session.session_id": lambda _: opened(NWB),
    "open_session.datadir": lambda _: opened(ID, datadir=DATA),
    "open_session.table": lambda _: opened(NWB, table=CSV),
    "open_sessions.sessions": lambda _: tree(DATA),
    "open_sessions.datadir": lambda _: tree([ID], datadir=DATA),
    "open_sessions.table": lambda _: tree([NWB], table=CSV),
    "map_sessions.sessions": lambda _: mapped(DATA),
    "map_sessions.datadir": lambda _: mapped([ID], datadir=DATA),
    "map_sessions.table": lambda _: mapped([NWB], table=CSV),
    "session_table.source": lambda _: ox.session_table(CSV),
    "find_sessions.datadir": lambda _: ox.find_sessions(DATA),
    "default_sessions.table": lambda _: ox.default_sessions(CSV),
    "show_config.datadir": lambda _: ox.show_config(datadir=DATA),
    "show_config.table": lambda _: ox.show_config(table=CSV),
    "save.path": lambda _: saved(f"{OUT}/s.zarr"),
    "convert.sources": lambda _: converted(NWB, OUT),
    "convert.folder": lambda here: converted(NWB, here),
    "convert.table": lambda here: converted(NWB, here, table=CSV),
    "convert.default_table": lambda here: converted(NWB, here, default_table=CSV),
    "convert.datadir": lambda here: converted(CSV, here, datadir=DATA),
    "write_index.sessions": lambda _: indexed(DATA),
    "write_index.path": lambda _: indexed([NWB], OUT + "/other.json"),
    "write_index.datadir": lambda _: indexed([ID], datadir=DATA),
    "write_index.table": lambda _: indexed([NWB], table=CSV),
    "open_exported.path": lambda _: exported(f"{OUT}/t.zarr"),
    "read_matches.path": lambda _: ox.read_matches(MATCHES),
    "write_nwb.folder": lambda _: opened(ox.sample.write_nwb(small_spec(), OUT)),
    "write_original.datadir": lambda _: opened(ox.sample.write_original(small_spec(), OUT)),
    "write_mouse.folder": lambda _: ox.sample.write_mouse(f"{OUT}/mouse", scale=0.004, n_rois=2),
    "sample_path.folder": lambda _: below(ox.sample.sample_path(small_spec(), OUT)),
    "original_path.datadir": lambda _: below(ox.sample.original_path(small_spec(), OUT)),
    "session_path.folder": lambda _: below(ox.sample.session_path(small_spec(), OUT)),
    "fetch.folder": lambda _: fetched(ox.download.plan(sessions=758519303)),
    "plan.table": lambda _: ox.download.plan(table=PUBLISHED),
    "make_figures.sessions": lambda here: drawn(DATA, here),
    "make_figures.datadir": lambda here: drawn(CSV, here, datadir=DATA),
    "make_figures.table": lambda here: drawn(DATA, here, table=CSV),
    "make_figures.folder": lambda _: drawn(DATA, f"{OUT}/figures"),
}
# Those that say not by their type that they take one.
UNTYPED = {"open_sessions.sessions", "map_sessions.sessions", "write_index.sessions"}
UNTYPED |= {"make_figures.sessions"}


def test_every_parameter_that_takes_a_path_is_here():
    found = set()
    for module in (ox, ox.analyses, ox.plot, ox.sample, ox.download, figures):
        for name in module.__all__:
            function = getattr(module, name)
            if inspect.isfunction(function):
                parameters = inspect.signature(function).parameters.values()
                taking = [one.name for one in parameters if "Path" in str(one.annotation)]
                found |= {f"{name}.{parameter}" for parameter in taking}
    assert found | UNTYPED == set(PARAMETERS)


# They say where something belongs, and reach no server.
WITHOUT_SERVER = {"sample_path", "original_path", "session_path"}


def test_whatever_takes_an_address_takes_how_its_server_is_reached():
    functions = {name.partition(".")[0] for name in PARAMETERS} - WITHOUT_SERVER
    modules = (ox, ox.sample, ox.download, figures)
    for name in sorted(functions):
        function = next(getattr(module, name) for module in modules if hasattr(module, name))
        takes = inspect.signature(function).parameters
        assert "storage_options" in takes or "options" in takes or name == "map_sessions", name


# All are tried elsewhere too, room by room; here, what takes longer is slow.
QUICK = {"find_sessions.datadir", "plan.table", "show_config.datadir", "show_config.table"}
QUICK |= {"segments.word", "extract.out", "index.out", "sessions.source"}
QUICK |= {
    "fetch.folder",
    "download.folder",
    "sample_path.folder",
    "original_path.datadir",
    "session_path.folder",
}


def each(names):
    return [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in names]


@pytest.mark.parametrize("name", each(PARAMETERS))
def test_each_parameter(name, tmp_path):
    PARAMETERS[name](tmp_path)


ASKED = {
    "word": (NWB,),
    "datadir": (str(ID), "--datadir", DATA),
    "table": (NWB, "--table", CSV),
    "sources": (INDEX, "--sources", ROOT),
}
COMMANDS = {
    "demo": {
        "out": ("--out", f"{OUT}/demo", "--figure", f"{OUT}/demo.png"),
        # With the other one: it takes a while.
        "figure": (),
    },
    "sample": {"folder": (f"{OUT}/sample", "--scale", "0.004", "--rois", "2")},
    "sessions": {"source": (DATA,), "table": (DATA, "--table", CSV)},
    "info": ASKED,
    "segments": {**ASKED, "out": (NWB, "-o", f"{OUT}/s.csv")},
    "explore": {
        "static": (NWB, "--static", f"{OUT}/p.html"),
        "matches": (NWB, "--matches", MATCHES, "--static", f"{OUT}/q.html"),
        # Opened as by info; what it then serves is tried in a browser.
        **dict.fromkeys(ASKED, ()),
        "word": (DATA, "--static", f"{OUT}/folder.html"),
    },
    "validate": {"paths": (NWB,)},
    "extract": {
        **{
            name: (*words, "gabor_frame=U", "-o", f"{OUT}/{name}.zarr")
            for name, words in ASKED.items()
        },
        "out": (NWB, "gabor_frame=U", "--stats", "mean", "-o", f"{OUT}/u.csv"),
    },
    "plot": {
        **dict.fromkeys(ASKED, ()),
        "out": (NWB, "overview", "--json", "-o", f"{OUT}/f.png"),
    },
    "convert": {
        "sources": (NWB, OUT),
        "folder": (NWB, f"{OUT}/more"),
        "table": (NWB, OUT, "--table", CSV, "--overwrite"),
        "datadir": (CSV, f"{OUT}/csv", "--datadir", DATA, "--workers", "1"),
    },
    "figures": {
        # As in Python; they take a while.
        **dict.fromkeys(("folder", "source", "datadir", "table"), ()),
    },
    "download": {
        "folder": ("--sessions", "758519303", "-o", OUT, "--dry-run"),
        "table": ("--sessions", "1", "--table", PUBLISHED, "-o", "here", "--dry-run"),
        # Of the archive, which is no place.
        "api_url": (),
    },
    "index": {
        "files": (DATA, "-o", f"{OUT}/a.json"),
        "out": (NWB, "-o", f"{OUT}/b.json"),
        "table": (NWB, "-o", f"{OUT}/c.json", "--table", CSV),
        "datadir": (CSV, "-o", f"{OUT}/d.json", "--datadir", DATA),
    },
    "config": {"datadir": ("--datadir", DATA), "table": ("--table", CSV)},
    "cite": {},
}
PLACES = ("DIR", "FILE", "PATH", "CSV", "URL", "SRC", "DEST", "JSON", "SESSION", "TABLE")


def test_every_option_that_takes_a_path_is_here():
    app = importlib.import_module("oscaxr.cli.main").app
    commands = importlib.import_module("typer.main").get_command(app).commands
    found = {
        name: {
            one.name
            for one in command.params
            if any(word in (getattr(one, "metavar", None) or "") for word in PLACES)
        }
        for name, command in commands.items()
    }
    assert found == {name: set(options) for name, options in COMMANDS.items()}


WRITTEN = {"out", "static", "folder", "figure"}
# What they read is in no other store than what they write, or in none.
ONE_STORE = {"demo", "sample", "download"}


def test_every_command_takes_how_the_servers_of_its_addresses_are_reached():
    app = importlib.import_module("oscaxr.cli.main").app
    commands = importlib.import_module("typer.main").get_command(app).commands
    for name, options in COMMANDS.items():
        takes = {one.name for one in commands[name].params}
        assert "storage_option" in takes or not options, name
        assert "target_option" in takes or name in ONE_STORE or not WRITTEN & set(options), name


@pytest.mark.parametrize(
    "words",
    [
        ("segments", "gabor_frame=U", "-o", "s.csv"),
        ("extract", "gabor_frame=U", "--stats", "mean", "-o", "u.csv"),
        pytest.param(("plot", "overview", "-o", "o.png"), marks=pytest.mark.slow),
        pytest.param(("explore", "--static", "e.html"), marks=pytest.mark.slow),
    ],
    ids=lambda words: words[0],
)
def test_what_commands_write_goes_to_another_store_than_what_they_read(words, object_store):
    login = {name: object_store.options[name] for name in ("key", "secret")}
    login["client_kwargs"] = json.dumps(object_store.options["client_kwargs"])
    how = [word for one in login.items() for word in ("--target-option", "=".join(one))]
    url = object_store.url(f"written/{words[-1]}")
    command, *others = words[:-1]
    told(command, NWB, *others, url, *how)
    assert object_store.fs.size(url) > 100
    assert "exists already" in refused(command, NWB, *others, url, *how)


OPTIONS = {
    f"{command}.{option}": words
    for command, options in COMMANDS.items()
    for option, words in options.items()
    if words
}


@pytest.mark.parametrize("name", each(OPTIONS))
def test_each_option(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = invoke(name.partition(".")[0], *OPTIONS[name])
    assert done.exit_code == 0, done.stderr


def test_what_is_one_file_that_is_written_in_parts_is_refused(memory):
    for path in (f"{OUT}/s.nc", f"{OUT}/s.zarr.zip"):
        with pytest.raises(OscaxrError, match=r"Save to \.zarr there"):
            saved(path)
    assert NO_NETCDF in refused("extract", NWB, "gabor_frame=U", "-o", f"{OUT}/s.nc")
    with pytest.raises(OscaxrError, match="only zarr is written"):
        ox.convert(NWB, OUT, format="nc")
    assert json.loads(invoke("info", NWB, "--json").stdout)["facts"]["session_id"] == ID
