"""What the README shows runs, and the Dataset that it prints is the one that one gets."""

import re
import shlex
import warnings
from pathlib import Path

import pytest
import xarray as xr

README = Path(__file__).resolve().parents[2] / "README.md"


@pytest.fixture(scope="module")
def text():
    return README.read_text(encoding="utf-8")


def fences(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def names(text, tmp_path_factory):
    """Everything that is there after all snippets ran, one after the other."""
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    namespace: dict[str, object] = {}
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("error")
        patch.chdir(tmp_path_factory.mktemp("readme"))
        snippets = fences(text, "python")
        assert len(snippets) >= 2
        for number, snippet in enumerate(snippets):
            exec(compile(snippet, f"README.md, snippet {number}", "exec"), namespace)
        yield namespace
    from matplotlib import pyplot

    pyplot.close("all")
    for session in [namespace["ds"], *namespace["days"]]:
        session.close()


def test_snippets_run(names, capsys):
    assert names["stats"].sizes == {"rel_time": 60}
    assert names["same"].dims == ("session", "tracking_id")
    assert names["u"].groupby("gabor_mean_orientation").mean().sizes["roi"] == 16


def test_printed_dataset_is_real(text, names):
    (printed,) = (part for part in fences(text, "text") if "xarray.Dataset" in part)
    ds = names["ds"]
    assert isinstance(ds, xr.Dataset)
    sizes = re.search(r"Dimensions:\s+\((.*?)\)", printed, flags=re.DOTALL).group(1)
    assert {k: int(v) for k, v in re.findall(r"(\w+): (\d+)", sizes)} == dict(ds.sizes)
    rows = re.findall(r"^  [* ] (\w+) +(?:\(([\w, ]+)\) )?([\w<]+) \d", printed, flags=re.MULTILINE)
    assert len(rows) > 10
    for name, dims, dtype in rows:
        found = ds.variables[name]
        assert (", ".join(found.dims), str(found.dtype).replace("str", "<U")) == (
            dims,
            dtype,
        ) or dtype == f"<U{found.dtype.itemsize // 4}", name
    for key in re.findall(r"^    (\w+): ", printed, flags=re.MULTILINE):
        assert key in ds.attrs
    assert f"({12}/{len(ds.data_vars)})" in printed


@pytest.mark.parametrize("command", ["demo-command", "test-command"])
def test_commands_are_one_line_between_markers(text, command):
    opening, closing = f"<!-- {command} -->", f"<!-- /{command} -->"
    assert text.count(opening) == text.count(closing) == 1
    inside = text.split(opening)[1].split(closing)[0]
    (block,) = fences(inside, "sh")
    assert inside.strip() == f"```sh\n{block}```"
    (line,) = block.splitlines()
    assert shlex.split(line)[:4] == ["python3", "-m", "venv", ".venv"]


def test_links_lead_somewhere(text):
    """A package index shows it too, so that links are whole addresses: of files that are here."""
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    assert [target for target in targets if "://" not in target] == []
    ours = re.compile(
        r"https://(?:github.com/oscaxr/oscaxr/blob|raw.\S+.com/oscaxr/oscaxr)/(?:main/)"
    )
    local = [ours.sub("", target) for target in targets if ours.match(target)]
    assert {"CONTRIBUTING.md", "docs/_static/demo.png", "docs/index.md"} <= set(local)
    assert [t for t in local if not (README.parent / t).is_file()] == []


def test_picture_is_small():
    assert (README.parent / "docs/_static/demo.png").stat().st_size < 300_000


def test_functions_named_exist(text, names):
    import oscaxr

    for name in re.findall(r"\box\.(\w+)\(", text):
        assert callable(getattr(oscaxr, name)), name
    for name in re.findall(r"ds\.osca\.(\w+)", text):
        assert hasattr(names["ds"].osca, name), name
