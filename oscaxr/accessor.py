"""The accessor ``.osca``: a doorway to the functions, without state of its own."""

import functools
import inspect
import re
from collections.abc import Callable
from textwrap import fill
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, cast

import xarray as xr

from oscaxr.bridges import long_tables, pandas_frames, pynapple
from oscaxr.errors import AccessorError
from oscaxr.measure import activity, quality, scaling, statistics, transform
from oscaxr.model import traces
from oscaxr.model.dataset import validate
from oscaxr.select import alignment, criteria, epochs, frames, responses, sequences, tables

P = ParamSpec("P")
R = TypeVar("R")
A = TypeVar("A")


def _method(function: Callable[Concatenate[Any, P], R]) -> Callable[Concatenate[Any, P], R]:
    """Make a method that hands the object, and all that it is called with, to a function."""

    @functools.wraps(function)
    def method(self: Any, *args: P.args, **kwargs: P.kwargs) -> R:
        return function(self._object, *args, **kwargs)

    signature = inspect.signature(function)
    first, *others = signature.parameters.values()
    own = first.replace(name="self", annotation=inspect.Parameter.empty)
    signature = signature.replace(parameters=[own, *others])
    setattr(method, "__signature__", signature)  # noqa: B010 (functions do not declare it)
    method.__doc__ = _without_parameter(function.__doc__ or "", first.name)
    return cast("Callable[Concatenate[Any, P], R]", method)


def _without_parameter(doc: str, name: str) -> str:
    """Return a docstring without the parameter that the object itself stands for."""
    entry = re.compile(rf"^( *){name} : .*\n(?:\1 +.*\n|\n(?=\1 ))*", re.MULTILINE)
    empty_section = re.compile(r"^ *Parameters\n *-+\n\n(?= *Returns\n)", re.MULTILINE)
    return empty_section.sub("", entry.sub("", doc, count=1), count=1)


class _Fresh(Generic[A]):
    """Gives an accessor anew at each use."""

    # xarray's own registration keeps the accessor with the object that it wraps. The two would
    # refer to each other, and a session with all that was read from it would live on until Python
    # looks for such circles.

    def __init__(self, accessor: Callable[[Any], A]) -> None:
        self._accessor = accessor

    def __get__(self, wrapped: Any, _: Any = None) -> Callable[[Any], A] | A:
        return self._accessor if wrapped is None else self._accessor(wrapped)


def _registered(kind: type, register: Callable[[str], Any]) -> Callable[[type[A]], type[A]]:
    def registered(accessor: type[A]) -> type[A]:
        # For its warning, where the class has an attribute of this name already.
        register("osca")(accessor)
        setattr(kind, "osca", _Fresh(accessor))  # noqa: B010 (xarray's classes do not declare it)
        return accessor

    return registered


def _names(accessor: type) -> list[str]:
    return [name for name in dir(accessor) if not name.startswith("_")]


def _html(data: xr.Dataset | xr.DataArray, accessor: type) -> str:
    from oscaxr.summary import markup
    from oscaxr.summary.describe import describe

    return markup.html(describe(data), ", ".join(_names(accessor)))


class _Accessor:
    """What traces and sequences can do, as an array or as a Dataset of several variables."""

    def __init__(self, wrapped: Any) -> None:
        self._object = wrapped

    def __repr__(self) -> str:
        from oscaxr.summary.describe import describe

        methods = fill(
            ", ".join(_names(type(self))), 88, initial_indent="  ", subsequent_indent="  "
        )
        return f"{describe(self._object)}\nMethods of .osca\n{methods}"

    def _repr_html_(self) -> str:
        return _html(self._object, type(self))

    def __getattr__(self, name: str) -> Any:
        kind = type(self._object).__name__
        if not name.startswith("_") and hasattr(DatasetAccessor, name):
            hint = f"call it on the session, ds.osca.{name}(...)"
            if name == "select":
                hint += ", or choose among sequences, u.isel(sequence=u.gabor_frame == 'U')"
            raise AccessorError(f"a {kind} has no .osca.{name}: {hint}")
        if not name.startswith("_") and hasattr(DataArrayAccessor, name):
            raise AccessorError(f"a {kind} has no .osca.{name}: take one variable, ds['dff']")
        raise AttributeError(
            f".osca of a {kind} has no {name!r}; it has {', '.join(_names(type(self)))}"
        )

    scale = _method(scaling.scale)
    scale_parameters = _method(scaling.scale_parameters)
    baseline = _method(transform.baseline)
    smooth = _method(transform.smooth)
    integrate = _method(transform.integrate)
    interpolate = _method(traces.interpolate)
    stats = _method(statistics.stats)
    to_frame = _method(long_tables.to_frame)
    to_pynapple = _method(pynapple.to_pynapple)
    tracked = _method(alignment.tracked)
    active_rois = _method(activity.active_rois)
    plateau_traces = _method(activity.plateau_traces)
    invalid_rois = _method(quality.invalid_rois)
    snr = _method(quality.snr)
    roi_correlations = _method(quality.roi_correlations)


@_registered(xr.DataArray, xr.register_dataarray_accessor)
class DataArrayAccessor(_Accessor):
    """Operations on one variable: whole traces, or sequences of them.

    Parameters
    ----------
    wrapped : xarray.DataArray
        The array.

    Examples
    --------
    >>> import oscaxr as ox
    >>> ds = ox.sample.session(n_rois=4, scale=0.05)
    >>> u = ds.osca.sequences("dff", ds.osca.select(gabor_frame="U"), pre=0, post=0.6)
    >>> u.osca.integrate().dims
    ('roi', 'sequence')
    """

    to_hierarchical_frame = _method(pandas_frames.to_hierarchical_frame)
    to_numpy = _method(pynapple.to_numpy)


@_registered(xr.Dataset, xr.register_dataset_accessor)
class DatasetAccessor(_Accessor):
    """Operations on a session.

    Parameters
    ----------
    wrapped : xarray.Dataset
        The session.

    Examples
    --------
    >>> import oscaxr as ox
    >>> ds = ox.sample.session(n_rois=4, scale=0.05)
    >>> ds.osca.select(stimulus="visflow", main_flow_direction="nasal").sizes["segment"]
    51
    """

    select = _method(criteria.select_segments)
    running_bouts = _method(epochs.running_bouts)
    epochs = _method(epochs.epochs)
    sequences = _method(sequences.sequences)
    responses = _method(responses.responses)
    segment_table = _method(tables.segment_table)
    blocks = _method(tables.blocks)
    onset_pairs = _method(tables.onset_pairs)
    patches = _method(tables.patches)
    patches_around = _method(tables.patches_around)
    stimulus_images = _method(frames.stimulus_images)
    convert_frames = _method(frames.convert_frames)
    segments_at = _method(frames.segments_at)
    scale_factors = _method(traces.scale_factors)
    validate = _method(validate)

    @property
    def n_tracked(self) -> int:
        """Number of tracked ROIs."""
        return alignment.n_tracked(self._object)


@_registered(xr.DataTree, xr.register_datatree_accessor)
class DataTreeAccessor:
    """What the session of a node can do; a tree of several sessions says how to reach them.

    Parameters
    ----------
    wrapped : xarray.DataTree
        A node.

    Examples
    --------
    >>> import oscaxr as ox
    >>> ds = ox.sample.session(n_rois=4, n_tracked=4, scale=0.02)
    >>> tree = xr.DataTree.from_dict({"/mouse_1/session_1": ds})
    >>> tree["/mouse_1/session_1"].osca.n_tracked
    4
    """

    def __init__(self, wrapped: xr.DataTree) -> None:
        self._node = wrapped

    def __repr__(self) -> str:
        if self._node.has_data:
            return f"oscaxr on the session of this node, {self._node.path}"
        lines = [
            f"{leaf.path}  ({', '.join(f'{dim}: {size}' for dim, size in leaf.sizes.items())})"
            for leaf in self._node.leaves
        ]
        return f"oscaxr on {len(lines)} session(s):\n" + "\n".join(lines)

    def _repr_html_(self) -> str | None:
        # Without, a notebook shows the text.
        if not self._node.has_data:
            return None
        return _html(self._node.to_dataset(), DatasetAccessor)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if self._node.has_data:
            return getattr(self._node.to_dataset().osca, name)
        paths = [leaf.path for leaf in self._node.leaves]
        raise AccessorError(
            f".osca.{name}: node {self._node.path} is no session, but has {len(paths)}. Take one, "
            f"tree[{paths[0]!r}].osca.{name}, or all: ox.map_sessions(lambda ds: ds.osca.{name}"
            "(...), tree)"
        )
