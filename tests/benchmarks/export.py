"""Measure exports against plain zarr and h5netcdf on a real-size session, and print the ratios.

Usage: python tests/benchmarks/export.py [--folder DIR] [--rois N] [--repeat N] [--layout NAME]

Both sides of a ratio are measured in the same run, alternating, with a warm page cache; the best of
the repeats counts. Writing: the floor writes the same arrays, held in memory, with the same chunks
and compression, and nothing else. Reading: the same sequences from the NWB file.
"""

import argparse
import shutil
import tempfile
import threading
import warnings
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from run import LAYOUTS, best, private_kilobytes, sample_file

import oscaxr as ox
from oscaxr.store.encoding import prepare
from oscaxr.store.layout import layout_of
from oscaxr.store.open import open_exported
from oscaxr.store.save import save


def floor_zarr(stored, path):
    """Write arrays with zarr alone."""
    import zarr
    from zarr.codecs import BloscCodec

    shutil.rmtree(path, ignore_errors=True)
    group = zarr.open_group(path, mode="w", zarr_format=3)
    for one in stored:
        options = {}
        if one.dtype is not None:
            shuffle = "bitshuffle" if one.dtype.itemsize > 1 else "noshuffle"
            options["compressors"] = BloscCodec(
                cname="zstd", clevel=3, shuffle=shuffle, typesize=one.dtype.itemsize
            )
        array = group.create_array(
            one.name,
            shape=one.variable.shape,
            dtype=str if one.dtype is None else one.dtype,
            chunks=one.chunks,
            shards=one.shards,
            dimension_names=one.variable.dims,
            attributes=one.attrs,
            **options,
        )
        array[...] = (
            one.variable.values.astype(object) if one.dtype is None else one.variable.values
        )


def floor_netcdf(stored, path):
    """Write arrays with h5netcdf alone."""
    import h5netcdf

    with h5netcdf.File(path, "w") as file:
        for one in stored:
            for dim, size in one.variable.sizes.items():
                if dim not in file.dimensions:
                    file.dimensions[dim] = size
            options = {}
            if one.variable.ndim and one.compressed:
                options = {
                    "chunks": one.chunks,
                    "compression": "gzip",
                    "compression_opts": 1,
                    "shuffle": True,
                }
            variable = file.create_variable(one.name, one.variable.dims, one.dtype, **options)
            variable[...] = one.variable.values.astype(one.dtype)
            variable.attrs.update(one.attrs)


FLOORS = {"zarr": floor_zarr, "nc": floor_netcdf}
FORMATS = {"zarr": "zarr", "nc": "netcdf"}


def peak_while(function):
    """Run a function and return the peak of private memory above what was held before, MB."""
    seen, done = [], threading.Event()

    def watch():
        while not done.wait(0.005):
            seen.append(private_kilobytes())

    before = private_kilobytes()
    thread = threading.Thread(target=watch)
    thread.start()
    function()
    done.set()
    thread.join()
    return (max(seen, default=before) - before) / 1024


def writing(path, folder, repeat):
    """Yield (task, seconds, floor seconds, goal, peak MB)."""
    for suffix, floor in FLOORS.items():
        target = folder / f"export.{suffix}"
        with ox.open_session(path) as ds:
            peak = peak_while(lambda t=target, d=ds: save(d, t, overwrite=True))
            stream = best([lambda t=target, d=ds: save(d, t, overwrite=True)], repeat)[0]
        loaded = ox.open_session(path).load()
        stored = prepare(loaded, layout_of(loaded), FORMATS[suffix])
        ours, least = best(
            [
                lambda t=target, d=loaded: save(d, t, overwrite=True, digest=False),
                lambda f=floor, s=stored, t=folder / f"floor.{suffix}": f(s, t),
            ],
            repeat,
        )
        yield f"save to {suffix}, in memory", ours, least, 1.3, None
        yield f"save to {suffix}, streamed from NWB, with sha256", stream, least, None, peak
        del loaded, stored


def reading(path, layout, folder, repeat):
    """Yield (task, seconds, seconds from NWB, goal, None)."""
    exports = {"zarr": folder / "export.zarr", "nc": folder / "export.nc"}
    with ox.open_session(path) as ds:
        exports["zarr, not compressed"] = save(
            ds, folder / "plain.zarr", compression=False, overwrite=True
        )
        exports["nc, not compressed"] = save(
            ds, folder / "plain.nc", compression=False, overwrite=True
        )

    def sequences(opened):
        with opened() as ds:
            unexpected = ds.osca.select(stimulus="gabors", gabor_frame="U")
            return ds.osca.sequences("dff", unexpected, pre=1, post=1).values

    def one_roi(opened):
        with opened() as ds:
            return ds.dff.isel(roi=100).values

    def nwb():
        return ox.open_session(path)

    for name, target in exports.items():

        def exported(target=target):
            return open_exported(target)

        np.testing.assert_array_equal(sequences(exported), sequences(nwb))
        ours, theirs = best([lambda e=exported: sequences(e), lambda: sequences(nwb)], 3 * repeat)
        goal = 1 if layout == "gzip" else 2
        yield f"open + U sequences, {name}", ours, theirs, goal if "zarr" in name else None, None
        ours, theirs = best([lambda e=exported: one_roi(e), lambda: one_roi(nwb)], 3 * repeat)
        yield f"open + one ROI, {name}", ours, theirs, None, None


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "oscaxr-bench")
    parser.add_argument("--rois", type=int, default=628)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--layout", choices=LAYOUTS, default=None)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    table = Table(title=f"exports of oscaxr, {options.rois} ROIs")
    for column in ("layout", "task", "oscaxr, s", "floor or NWB, s", "ratio", "goal", "peak, MB"):
        table.add_column(column, justify="left" if column in ("layout", "task") else "right")
    for layout in [options.layout] if options.layout else LAYOUTS:
        path = sample_file(options.folder, layout, options.rois)
        with tempfile.TemporaryDirectory(dir=options.folder) as name:
            folder = Path(name)
            for task, ours, floor, goal, peak in [
                *writing(path, folder, options.repeat),
                *reading(path, layout, folder, options.repeat),
            ]:
                table.add_row(
                    layout,
                    task,
                    f"{ours:.3f}",
                    f"{floor:.3f}",
                    f"{ours / floor:.2f}",
                    "" if goal is None else f"{goal:.1f}",
                    "" if peak is None else f"{peak:.0f}",
                )
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
