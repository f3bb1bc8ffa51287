"""netCDF files that somebody has tampered with: the twins of `test_open_hostile`."""

import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import h5py
import pytest

from hostile_netcdf import ATTACKS, FILES, Attack, make
from oscaxr.store.save import save
from small_sessions import FEW_VARIABLES, only
from watched import OUTSIDE, assert_met, watch

CASES = [
    f"{kind}-{name}"
    for name, one in ATTACKS.items()
    for kind in ("own", "plain")
    if kind == "own" or one.plain
]
# One of each kind; the others, which are variations of them, with the slow ones.
QUICK = [
    *("own-external_link", "own-link_to_a_fifo", "own-virtual_dataset", "own-type_vlen"),
    *("own-chunks_never_written", "own-trillion_frames", "own-bomb_deflate"),
    *("own-chunk_of_garbage", "own-filter_of_a_plugin", "own-circle_of_groups"),
    *("own-layout_dtype_object", "own-digest_missing", "own-edited_values"),
]
SLOW = [case for case in CASES if case not in QUICK]


@pytest.fixture(scope="module")
def goods(tmp_path_factory, memory_session):
    """Good files, of which the hostile ones are made."""
    folder = tmp_path_factory.mktemp("good")
    small = only(memory_session, FEW_VARIABLES)
    found = {"own": save(small, folder / "own.nc"), "plain": folder / "plain.nc"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        memory_session.to_netcdf(found["plain"])
    return found


def outcomes(cases, goods, folder: Path, others: dict[str, Path]):
    """What came of cases, and of other files: all of them in one process."""
    paths = {}
    for case in cases:
        kind, _, name = case.partition("-")
        place = folder / case
        (place / OUTSIDE).mkdir(parents=True)
        (place / OUTSIDE / "canary").write_text("not to be read")
        paths[case] = place / f"{name}.nc"
        make(goods[kind], paths[case], place / OUTSIDE, ATTACKS[name], seal=kind == "own")
    found = watch([*paths.values(), *others.values(), goods["own"]], warm=goods.values())
    shutil.rmtree(folder)
    values = found[goods["own"]][0].read
    assert values
    opens = {case for case in paths if case.startswith("own-") and _attack(case).opens}
    return {
        case: (path, found[path], _attack(case).words, values if case in opens else "")
        for case, path in paths.items()
    } | {name: (path, found[path]) for name, path in others.items()}


def _attack(case: str) -> Attack:
    return ATTACKS[case.partition("-")[2]]


@pytest.fixture(scope="module")
def quick(goods, tmp_path_factory):
    broken = make_broken(goods, tmp_path_factory.mktemp("broken"))
    return outcomes(QUICK, goods, tmp_path_factory.mktemp("quick"), broken)


@pytest.fixture(scope="module")
def slow(goods, tmp_path_factory):
    return outcomes(SLOW, goods, tmp_path_factory.mktemp("slow"), {})


@pytest.mark.parametrize("case", QUICK)
def test_tampered_netcdf(quick, case):
    assert_met(*quick[case])


@pytest.mark.slow
@pytest.mark.parametrize("case", SLOW)
def test_tampered_netcdf_of_much(slow, case):
    assert_met(*slow[case])


def make_broken(goods, folder: Path) -> dict[str, Path]:
    """Make files that are broken, and copies: one edited, one sealed after it."""
    attack = ATTACKS["added_attribute"]
    paths = {"edited": folder / "edited.nc", "sealed": folder / "sealed.nc"}
    make(goods["own"], paths["edited"], folder, attack, seal=True)
    make(goods["own"], paths["sealed"], folder, replace(attack, seal=True), seal=True)
    for name, change in FILES.items():
        paths[name] = folder / f"{name}.nc"
        shutil.copy(goods["own"], paths[name])
        change(paths[name])
    return paths


@pytest.mark.parametrize("name", FILES)
def test_broken_netcdf(quick, name):
    assert_met(*quick[name])


def test_a_sealed_copy_opens(quick):
    """The attacks write the digest as an export does: it is not the digest that stops them."""
    assert [one.error for one in quick["edited"][1]] == ["DamagedExportError"] * 2
    path, tries = quick["sealed"]
    assert [one.error for one in tries] == ["", ""]
    with h5py.File(path) as file:
        assert file["dff"].attrs["comment"] == b"fine"
