"""The form of a sample's NWB file: which of those that the published files are known to have."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

from oscaxr.sample.planted_rois import MaskKind
from oscaxr.sample.spec import Layout, SampleSpec, hdf5_storage, not_among, refuse

Parts = Literal["behavior+ophys", "behavior+image+ophys", "obj-raw"]


@dataclass(frozen=True, kw_only=True)
class NwbForm:
    """The form of an NWB file; by default that of the published files.

    Parameters
    ----------
    layout : {"gzip", "chunked", "contiguous"}, optional
        How HDF5 stores dF/F, masks, square tracks and movie. By default as in published files:
        those of somata are contiguous; those of dendrites have gzip for dF/F and masks.
    dtype : {"float64", "float32"}, optional
        Of dF/F.
    chunks : tuple of int, optional
        Chunks of dF/F (frames, ROIs), unless it is contiguous; masks then have a chunk for each
        ROI. Without, HDF5 chooses both, as in published files.
    shuffle : bool, optional
        Whether the bytes of dF/F are shuffled before compression.
    mask_kind : {"uint8", "float64", "bool", "weights"}, optional
        Form of the ROI masks; weights are float32 with a halo below 0.1. By default as in
        published files: uint8 for somata, float64 for dendrites.
    parts : {"behavior+ophys", "behavior+image+ophys", "obj-raw"}, optional
        With ``image`` the file has stimulus templates, a raw one also the motion-corrected movie,
        as large as the session's field and as long as its recording: choose `field_shape` and
        `scale` of the session to suit.
    template_frames : int, optional
        At most so many images of each template.
    draft : bool, optional
        Whether the session id is the identifier alone, as in drafts of 2021 and 2022.
    """

    layout: Layout | None = None
    dtype: Literal["float32", "float64"] = "float64"
    chunks: tuple[int, ...] | None = None
    shuffle: bool = False
    mask_kind: MaskKind | None = None
    parts: Parts = "behavior+ophys"
    template_frames: int = 60
    draft: bool = False

    def check(self, spec: SampleSpec) -> None:
        """Raise a SampleError that lists the options with no meaning for the session."""
        kinds = {"layout": Layout, "mask_kind": MaskKind}
        problems = not_among(self, {name: [None, *get_args(kind)] for name, kind in kinds.items()})
        if self.chunks is not None and (len(self.chunks) != 2 or min(self.chunks) < 1):
            problems.append(f"chunks is {self.chunks!r}; give (frames, ROIs), 1 or more, or None")
        refuse(f"Cannot write session {spec.session_id} in this form", problems)

    def mask_kind_of(self, spec: SampleSpec) -> MaskKind:
        """Return the form of a session's masks."""
        return self.mask_kind or ("uint8" if spec.plane == "soma" else "float64")

    def trace_storage(self, spec: SampleSpec, shape: tuple[int, ...]) -> dict[str, Any]:
        """Return how HDF5 is to store dF/F."""
        return hdf5_storage(self._layout_of(spec), shape, self.chunks, self.shuffle)

    def mask_storage(self, spec: SampleSpec) -> dict[str, Any]:
        """Return how HDF5 is to store the masks."""
        shape = (spec.n_rois, *spec.field_shape)
        chunks = None if self.chunks is None else (1, *spec.field_shape)
        return hdf5_storage(self._layout_of(spec), shape, chunks)

    def movie_storage(self, spec: SampleSpec, shape: tuple[int, ...]) -> dict[str, Any]:
        """Return how HDF5 is to store the movie."""
        return hdf5_storage(self._layout_of(spec), shape, (16, *shape[1:]))

    def square_storage(self, shape: tuple[int, ...]) -> dict[str, Any]:
        """Return how HDF5 is to store the square tracks, contiguous in all published files."""
        return hdf5_storage(self.layout or "contiguous", shape, shuffle=True)

    def _layout_of(self, spec: SampleSpec) -> Layout:
        return self.layout or ("contiguous" if spec.plane == "soma" else "gzip")
