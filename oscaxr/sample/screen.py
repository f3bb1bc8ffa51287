"""What was on the screen: Gabor patches, flow squares and small template images."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from oscaxr.model import names as n
from oscaxr.sample.spec import PATCHES, SQUARES, SampleSpec
from oscaxr.sample.timeline import STIM_RATE, Columns

WINDOW: Final = (1920, 1200)
DEGREES_PER_PIXEL: Final = 0.06251912565744862
FLOW_SPEED: Final = 799.7552664756905
GABOR_SIZES: Final = (204, 408)
SPATIAL_FREQUENCY: Final = 0.04  # cycles per degree
PATCH_PHASE: Final = 0.25  # of a cycle

# Outside a barrel-shaped mask the images are black.
_BULGE: Final = 0.12  # of half the screen, by which the barrel is narrower at its ends
_SETS: Final = {letter: position for position, letter in enumerate("ABCDU")}


@dataclass(frozen=True, eq=False)
class Patches:
    """Gabor patches, as drawn for each image; or of every segment, NaN where it has none."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    size: NDArray[np.float64]
    orientation: NDArray[Any]


def draw_patches(spec: SampleSpec, segments: Columns) -> Patches:
    """Draw the Gabor patches of a session as the stimulus computer did, one row an image."""
    rng = spec.random(PATCHES)
    shape = (len(_SETS), n.N_PATCHES)
    x = rng.uniform(-WINDOW[0] / 2, WINDOW[0] / 2, shape)
    y = rng.uniform(-WINDOW[1] / 2, WINDOW[1] / 2, shape)
    sizes = rng.integers(GABOR_SIZES[0], GABOR_SIZES[1] + 1, shape).astype(np.float64)
    rows = _rows_with_patches(segments)
    means = segments["gabor_mean_orientation"][rows] - 90.0 * (segments["gabor_frame"][rows] == "U")
    spread = np.degrees(1.0 / np.sqrt(spec.gabor_kappa))
    drawn = rng.normal(0.0, spread, (len(rows), n.N_PATCHES)) + means[:, np.newaxis]
    return Patches(x, y, sizes, np.round(drawn).astype(np.int16))


def _rows_with_patches(segments: Columns) -> NDArray[np.intp]:
    letters = segments["gabor_frame"]
    return np.flatnonzero((letters != "") & (letters != "G"))


def make_patches(spec: SampleSpec, segments: Columns) -> Patches:
    """Make the Gabor patches of every segment of a session."""
    drawn = draw_patches(spec, segments)
    letters = segments["gabor_frame"]
    rows = _rows_with_patches(segments)
    sets = np.searchsorted(list(_SETS), letters[rows])
    shown = drawn.orientation + 90.0 * (letters[rows, np.newaxis] == "U")
    shown += 360.0 * (shown < 0)
    shown -= 360.0 * (shown > 360)

    def scatter(values: NDArray[np.float64]) -> NDArray[np.float64]:
        full = np.full((len(letters), n.N_PATCHES), np.nan)
        full[rows] = values
        return full

    x, y, size = drawn.x[sets], drawn.y[sets], drawn.size[sets]
    return Patches(scatter(x), scatter(y), scatter(size), scatter(shown))


def make_squares(
    spec: SampleSpec, segments: Columns
) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """Make the square tracks of the visual flow."""
    rng = spec.random(SQUARES)
    width, height = WINDOW
    rows = np.flatnonzero(segments["stimulus_type"] == n.VISFLOW)
    shape = (len(rows), spec.n_squares)
    flipped = rng.random(shape).argsort(axis=1) < round(0.25 * spec.n_squares)
    flipped &= segments["unexpected"][rows, np.newaxis] == 1
    to_right = segments["main_flow_direction"][rows, np.newaxis] == n.RIGHT
    step = np.where(to_right ^ flipped, 1.0, -1.0) * (FLOW_SPEED / STIM_RATE)
    travelled = np.cumsum(step, axis=0) * n.N_FLOW_FRAMES
    start = rng.uniform(0, width, spec.n_squares) + travelled - step * n.N_FLOW_FRAMES
    start %= width
    # float32 halves the largest temporary; whole pixels need no more.
    frames = np.arange(n.N_FLOW_FRAMES, dtype=np.float32)
    track = start.astype(np.float32)[..., np.newaxis]
    track = track + step.astype(np.float32)[..., np.newaxis] * frames
    track %= width
    track -= width / 2
    x = np.floor(track).astype(np.int16)
    height_of = rng.integers(-height // 2, height // 2, spec.n_squares, dtype=np.int16)
    y = np.broadcast_to(height_of[:, np.newaxis], x.shape)
    return x, y


def _screen(shape: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Screen coordinates of the pixel centres of a small image, y upwards."""
    height, width = shape
    x = ((np.arange(width) + 0.5) / width - 0.5) * WINDOW[0]
    y = (0.5 - (np.arange(height) + 0.5) / height) * WINDOW[1]
    return x[np.newaxis, :], y[:, np.newaxis]


def _seen(shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Tell which pixels lie within the barrel that is seen of the screen, warped for the mouse."""
    x, y = _screen(shape)
    x, y = x / (WINDOW[0] / 2), y / (WINDOW[1] / 2)
    return (np.abs(x) <= 1 - _BULGE * y**2) & (np.abs(y) <= 1 - _BULGE * x**2)


def _gabor_image(patches: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Draw one image from (x, y, size, orientation) of each patch."""
    screen_x, screen_y = _screen(shape)
    x, y, size, orientation = patches[:, :, np.newaxis, np.newaxis]
    across = (screen_x - x) * np.cos(np.radians(orientation))
    across = across + (screen_y - y) * np.sin(np.radians(orientation))
    cycles = across * SPATIAL_FREQUENCY * DEGREES_PER_PIXEL + PATCH_PHASE
    # A patch's size is six standard deviations of its Gaussian envelope.
    distance = ((screen_x - x) ** 2 + (screen_y - y) ** 2) / (size / 6.0) ** 2
    contrast = (np.exp(-distance / 2) * np.cos(2 * np.pi * cycles)).sum(axis=0)
    return np.asarray(np.clip(127.5 + 127.5 * contrast, 0, 255), dtype=np.uint8)


def make_templates(
    spec: SampleSpec, segments: Columns, patches: Patches, shape: tuple[int, int], frames: int
) -> dict[str, NDArray[np.uint8]]:
    """Draw the first images of each stimulus template, small; black outside the barrel."""
    gray = np.full((1, *shape, 1), 127, dtype=np.uint8)
    rows = np.flatnonzero(segments["stimulus_type"] == n.GABORS)[:frames]
    columns = np.stack([patches.x, patches.y, patches.size, patches.orientation])[:, rows]
    drawn = [
        _gabor_image(columns[:, row], shape) if np.isfinite(columns[0, row, 0]) else gray[0, ..., 0]
        for row in range(len(rows))
    ]
    templates: dict[str, NDArray[Any]] = {"gabors": np.stack(drawn)[..., np.newaxis]}
    screen_x, screen_y = _screen(shape)
    flow = segments["stimulus_template_name"][segments["stimulus_type"] == n.VISFLOW]
    x, y = make_squares(spec, segments)
    half = spec.square_size / 2
    for name in ("visflow_left", "visflow_right"):
        first = np.flatnonzero(flow == name)[: -(-frames // n.N_FLOW_FRAMES)]
        track_x = x[first].transpose(0, 2, 1).reshape(-1, spec.n_squares)[:frames]
        track_y = y[first].transpose(0, 2, 1).reshape(-1, spec.n_squares)[:frames]
        images = np.full((len(track_x), *shape, 1), 127, dtype=np.uint8)
        for image, square_x, square_y in zip(images, track_x, track_y, strict=True):
            near_x = np.abs(screen_x - square_x[:, np.newaxis, np.newaxis]) <= half
            near_y = np.abs(screen_y - square_y[:, np.newaxis, np.newaxis]) <= half
            image[(near_x & near_y).any(axis=0)] = 255
        templates[name] = images
    templates["grayscreen"] = gray
    is_seen = _seen(shape)[..., np.newaxis]
    return {name: images * is_seen for name, images in templates.items()}
