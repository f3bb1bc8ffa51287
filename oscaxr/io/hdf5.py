"""One HDF5 file, opened safely and shared: links checked, handle managed, datasets as readers."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any

import h5py
import numpy as np
from xarray.backends import CachingFileManager
from xarray.backends.locks import HDF5_LOCK

from oscaxr.errors import FormatError, UnsafeLinkError
from oscaxr.io import chunks
from oscaxr.model.lazy import Array, AxisIndex, Once, OrthogonalArray

# Two rows of chunks of a wide session; HDF5's default (1 MiB) inflates chunks again and again.
CHUNK_CACHE_BYTES = 16 * 2**20

_open_options = {"rdcc_nbytes": CHUNK_CACHE_BYTES, "locking": False}


class Hdf5File:
    """A read-only HDF5 file whose handle is shared by all that reads from it.

    Parameters
    ----------
    path : path-like
        The file.

    Raises
    ------
    FormatError
        If it cannot be opened as HDF5.

    Notes
    -----
    The handle sits in xarray's file cache: it pickles by path, is closed by :meth:`close`, and
    all use of it is guarded by xarray's HDF5 lock, so it excludes other engines too.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = str(Path(path).resolve())
        self._manager = CachingFileManager(
            h5py.File, self.path, mode="r", kwargs=_open_options, lock=HDF5_LOCK
        )
        self._folder = Path(self.path).parent
        self._safe: set[str] = {"/"}
        with self.handle():
            pass

    def __deepcopy__(self, memo: dict[int, Any]) -> "Hdf5File":
        return self

    @contextmanager
    def handle(self) -> Iterator[h5py.File]:
        """Give the open file, holding the lock of the HDF5 library."""
        with HDF5_LOCK:
            try:
                file = self._manager.acquire(needs_lock=False)
            except FileNotFoundError:
                raise
            except OSError as error:
                raise FormatError(_why_unreadable(self.path, error)) from error
            yield file

    def close(self) -> None:
        """Release the handle; reading again opens it again."""
        self._manager.close()

    def get(self, file: h5py.File, path: str) -> Any:
        """Return a group or dataset, refusing links that lead out of the file's folder.

        Parameters
        ----------
        file : h5py.File
            What :meth:`handle` gave.
        path : str
            Path inside the file.

        Returns
        -------
        h5py.Group, h5py.Dataset or None
            None where there is no such object.

        Raises
        ------
        UnsafeLinkError
            For a link or storage outside the folder of the file.
        """
        if not self._check(file, PurePosixPath("/") / path, 0):
            return None
        item = file[path]
        if isinstance(item, h5py.Dataset):
            self._check_storage(item)
        return item

    def _check(self, file: h5py.File, path: PurePosixPath, depth: int) -> bool:
        """Walk a path link by link; remember the groups that were found safe."""
        here = PurePosixPath("/")
        for name in path.parts[1:]:
            parent, here = here, here / name
            if str(here) in self._safe:
                continue
            group = file[str(parent)].id
            key = name.encode()
            if not isinstance(group, h5py.h5g.GroupID) or not group.links.exists(key):
                return False
            kind = group.links.get_info(key).type
            if kind == h5py.h5l.TYPE_SOFT:
                target = PurePosixPath(group.links.get_val(key).decode())
                if depth > 16 or not self._check(file, parent / target, depth + 1):
                    return False
            elif kind == h5py.h5l.TYPE_EXTERNAL:
                name_of_file, _ = group.links.get_val(key)
                self._refuse_outside(name_of_file.decode(), f"the external link {here}")
                if str(here) not in file:
                    return False
            self._safe.add(str(here))
        return True

    def _check_storage(self, dataset: h5py.Dataset) -> None:
        creation = dataset.id.get_create_plist()
        for i in range(creation.get_external_count()):
            name = creation.get_external(i)[0]
            self._refuse_outside(name.decode(), f"the external storage of {dataset.name}")
        if creation.get_layout() == h5py.h5d.VIRTUAL:
            for source in dataset.virtual_sources():
                if source.file_name != ".":
                    self._refuse_outside(source.file_name, f"the virtual dataset {dataset.name}")

    def _refuse_outside(self, name: str, what: str) -> None:
        target = (self._folder / name).resolve()
        if not target.is_relative_to(self._folder):
            raise UnsafeLinkError(
                f"{self.path}: {what} points to {target}, outside the folder of the file. "
                "oscaxr does not follow it: a data file must not reach into other folders. "
                "Copy the data into the file (h5repack, h5copy) or beside it."
            )


def _why_unreadable(path: str, error: OSError) -> str:
    reason = str(error)
    file = Path(path)
    if file.is_dir():
        found = "it is a folder"
    elif file.stat().st_size == 0:
        found = "it is empty"
    elif "truncated" in reason:
        found = "it is truncated"
    elif not h5py.is_hdf5(path):
        found = "it is not an HDF5 file"
    else:
        found = reason
    return (
        f"cannot open {path} as an NWB session: {found}. "
        "Check the path, or fetch the file again (HDF5 said: " + reason + ")."
    )


class DatasetReader:
    """A numeric dataset of a file, as the source of a lazy array.

    Parameters
    ----------
    file : Hdf5File
        The file.
    dataset : h5py.Dataset
        The open dataset; only facts about it are kept.
    """

    def __init__(self, file: Hdf5File, dataset: h5py.Dataset) -> None:
        self.file = file
        self.name = str(dataset.name)
        self.shape: tuple[int, ...] = dataset.shape
        self.dtype: np.dtype[Any] = dataset.dtype
        self.chunk_shape: tuple[int, ...] | None = dataset.chunks
        # An external link gives a dataset of another file: leave that to HDF5.
        self._is_local = dataset.file.filename == self.file.path
        self._storage = Once(self._find_storage)

    def __deepcopy__(self, memo: dict[int, Any]) -> "DatasetReader":
        return self

    def __repr__(self) -> str:
        return f"{Path(self.file.path).name}:{self.name}"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_storage": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._storage = Once(self._find_storage)

    def _find_storage(self) -> chunks.Contiguous | chunks.Chunked | None:
        if not self._is_local:
            return None
        with self.file.handle() as file:
            return chunks.find_storage(file[self.name])

    def read(self, indices: tuple[AxisIndex, ...]) -> Array:
        """Read the outer product of the indices (see :class:`oscaxr.model.lazy.Reader`)."""
        storage = self._storage()
        if isinstance(storage, chunks.Contiguous):
            mapped = chunks.map_contiguous(self.file.path, storage, self.shape, self.dtype)
            return chunks.read_mapped(mapped, indices)
        sorted_indices: list[AxisIndex] = []
        inverse: list[Array | None] = []
        for index in indices:
            if isinstance(index, np.ndarray) and np.any(np.diff(index) <= 0):
                unique, back = np.unique(index, return_inverse=True)
                sorted_indices.append(unique)
                inverse.append(back)
            else:
                sorted_indices.append(index)
                inverse.append(None)
        if isinstance(storage, chunks.Chunked):
            values = chunks.read_chunks(
                self.file.path, storage, self.shape, self.dtype, tuple(sorted_indices)
            )
        else:
            values = self._read_through_hdf5(tuple(sorted_indices))
        for axis, positions in enumerate(inverse):
            if positions is not None:
                values = values.take(positions, axis=axis)
        return values

    def read_windows(self, starts: Array, length: int, rest: tuple[slice, ...]) -> Array:
        """Read windows of consecutive rows: (window, length, ...)."""
        storage = self._storage()
        if isinstance(storage, chunks.Contiguous):
            mapped = chunks.map_contiguous(self.file.path, storage, self.shape, self.dtype)
            return chunks.read_mapped_windows(mapped, starts, length, rest)
        rows = (starts[:, None] + np.arange(length)).ravel()
        values = self.read((rows, *rest))
        return values.reshape(len(starts), length, *values.shape[1:])

    def _read_through_hdf5(self, indices: tuple[AxisIndex, ...]) -> Array:
        """Read slices that cover the indices with h5py, in runs, and pick from them."""
        first, *rest = indices
        covering = tuple(
            slice(int(i[0]), int(i[-1]) + 1) if isinstance(i, np.ndarray) else i for i in rest
        )
        inner = tuple(i - i[0] if isinstance(i, np.ndarray) else slice(None) for i in rest)
        with self.file.handle() as file:
            dataset = file[self.name]
            if isinstance(first, slice):
                return _pick(dataset[(first, *covering)], (slice(None), *inner))
            # Rows nearer than a chunk are read together: their chunk is inflated anyway.
            gap = self.chunk_shape[0] if self.chunk_shape else 64
            bounds = [0, *(np.flatnonzero(np.diff(first) > gap) + 1).tolist(), len(first)]
            pieces = [
                _pick(
                    dataset[(slice(int(first[a]), int(first[b - 1]) + 1), *covering)],
                    (first[a:b] - first[a], *inner),
                )
                for a, b in pairwise(bounds)
            ]
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


def _pick(values: Array, indices: tuple[AxisIndex, ...]) -> Array:
    for axis, index in enumerate(indices):
        if isinstance(index, np.ndarray):
            values = values.take(index, axis=axis)
    return values


def lazy_array(file: Hdf5File, dataset: h5py.Dataset) -> OrthogonalArray:
    """Return a dataset as a lazily indexed array.

    Parameters
    ----------
    file : Hdf5File
        The file.
    dataset : h5py.Dataset
        The open dataset.

    Returns
    -------
    OrthogonalArray
    """
    return OrthogonalArray(DatasetReader(file, dataset))
