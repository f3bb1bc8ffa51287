"""A pilot log with both kappas, sizes and directions in several blocks, against plain loops."""

import pickle

import numpy as np
import pytest

import oscaxr as ox
from oscaxr.errors import FormatError
from oscaxr.formats.original.files import read_tree
from small_sessions import small_spec

NAN = float("nan")
# (type, number of sequences or segments or gray frames, kappa or size, direction)
BLOCKS = [
    ("gray", 300),
    ("gabors", 8, 4),
    ("gray", 240),
    ("visflow", 7, 128, "left"),
    ("gray", 240),
    ("gabors", 8, 16),
    ("visflow", 6, 128, "right"),
    ("gray", 180),
    ("visflow", 6, 256, "left"),
    ("gabors", 7, 4),
    ("gray", 120),
    ("visflow", 6, 256, "right"),
]
DIRECTIONS = {"left": "left (nasal)", "right": "right (temp)"}
SQUARES = {128: 105, 256: 26}


class Written:
    """The blocks as a log has them: frame lists and parameters, made block by block."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.frames = {"gabors": [], "visflow": []}
        self.seconds = {"gabors": [], "visflow": []}
        self.gabors, self.flow = [], []
        for kind, count, *facts in BLOCKS:
            shown = []
            for _ in range(count):
                unexpected = int(rng.random() < 0.3)
                if kind == "gabors":
                    number = len(self.gabors)
                    shown += [4 * number + k for k in range(4) for _ in range(18)] + [-1] * 18
                    self.gabors.append([float(rng.choice([0, 45, 90, 135])), *facts, unexpected])
                elif kind == "visflow":
                    shown += [len(self.flow)] * 60
                    self.flow.append([unexpected, facts[0], SQUARES[facts[0]], facts[1]])
                else:
                    shown.append(-1)
            start = len(self.frames["gabors"])
            for name, frames in self.frames.items():
                frames += shown if name == kind else [-1] * len(shown)
            if kind != "gray":
                self.seconds[kind].append([start / 60, (start + len(shown)) / 60])
        self.orientations = [
            rng.integers(0, 360, 30).astype(np.int16) for _ in range(4 * len(self.gabors))
        ]

    def tracks(self):
        """Positions of the squares, each frame by its number."""
        return [
            np.full((row[2], 2), number, np.int16)
            for number, row in enumerate(row for row in self.flow for _ in range(60))
        ]


@pytest.fixture(scope="module")
def written():
    return Written()


@pytest.fixture
def folder(written, tmp_path):
    made = ox.sample.write_original(small_spec(gabor_kappa=4), tmp_path, pickle_protocol=2)
    path = read_tree(made).files["stimulus"]
    with path.open("rb") as file:
        content = pickle.load(file, encoding="latin1")
    for stimulus, kind in zip(content["stimuli"], ("gabors", "visflow"), strict=True):
        stimulus["frame_list"] = np.array(written.frames[kind], np.int32)
        stimulus["display_sequence"] = np.array(written.seconds[kind])
    gabors, flow = (stimulus["stimParams"] for stimulus in content["stimuli"])
    gabors["subj_params"]["oriparsurps"] = written.gabors
    gabors["orisByImg"] = written.orientations
    flow["subj_params"]["flipdirecarray"] = written.flow
    flow["posByFrame"] = written.tracks()
    path.write_bytes(pickle.dumps(content, protocol=2))
    return made


def shown_rows(written):
    rows = []
    for kind, frames in written.frames.items():
        for sweep in range(max(frames) + 1):
            shown = [i for i, value in enumerate(frames) if value == sweep]
            row = {"stimulus_type": kind, "start": shown[0], "stop": shown[-1] + 1}
            if kind == "gabors":
                orientation, kappa, unexpected = written.gabors[sweep // 4]
                letter = "ABCD"[sweep % 4]
                if letter == "D" and unexpected:
                    letter, orientation = "U", orientation + 90
                row |= {
                    "stimulus_template_name": f"gabors_kappa_{kappa}",
                    "gabor_frame": letter,
                    "gabor_kappa": kappa,
                    "gabor_mean_orientation": orientation,
                    "unexpected": unexpected,
                }
            else:
                unexpected, size, number, direction = written.flow[sweep]
                row |= {
                    "stimulus_template_name": f"visflow_{direction}_size_{size}",
                    "main_flow_direction": DIRECTIONS[direction],
                    "square_size": size,
                    "square_number": number,
                    "square_proportion_flipped": 0.25 * unexpected,
                    "unexpected": unexpected,
                }
            rows.append(row)
    return sorted(rows, key=lambda row: row["start"])


def with_gray(rows, n_frames):
    """Put the gray frame after each D and U, and the gray screens between."""
    found, longest, at = [], 0, 0
    for row, after in zip(rows, [*rows[1:], {"start": n_frames}], strict=True):
        if row["start"] > at:
            gray = {"stimulus_type": "grayscreen", "stimulus_template_name": "grayscreen"}
            found.append({**gray, "start": at, "stop": row["start"]})
        found.append(row)
        at = row["stop"]
        if row.get("gabor_frame") in ("D", "U"):
            room = after["start"] - at
            if after.get("gabor_kappa") == row["gabor_kappa"] and room <= 36:
                longest = max(longest, room)
            else:
                room = min(longest, room)
            found.append({**row, "gabor_frame": "G", "start": at, "stop": at + room})
            at += room
    gray = {"stimulus_type": "grayscreen", "stimulus_template_name": "grayscreen"}
    return [*found, {**gray, "start": at, "stop": n_frames}]


def test_segments_of_several_blocks(folder, written):
    with ox.open_session(folder) as ds:
        aligned = ds.aligned_frame_twop.values
        rows = with_gray(shown_rows(written), len(aligned))
        numbers = ("gabor_kappa", "gabor_mean_orientation", "unexpected", "square_size")
        numbers += ("square_number", "square_proportion_flipped")
        for name in numbers:
            np.testing.assert_array_equal(ds[name], [row.get(name, NAN) for row in rows])
        for name in ("stimulus_type", "stimulus_template_name", "gabor_frame"):
            assert ds[name].values.tolist() == [row.get(name, "") for row in rows]
        directions = [row.get("main_flow_direction", "") for row in rows]
        assert ds.main_flow_direction.values.tolist() == directions
        aligned = [*aligned, aligned[-1] + 1]
        for edge in ("start", "stop"):
            frames = [row[edge] for row in rows]
            assert ds[f"{edge}_frame_stim"].values.tolist() == frames
            assert ds[f"{edge}_frame_twop"].values.tolist() == [aligned[i] for i in frames]
        sweeps = iter(written.orientations)
        for row, found in zip(rows, ds.gabor_orientation.values, strict=True):
            if row.get("gabor_frame", "G") == "G":
                assert np.isnan(found).all()
                continue
            expected = next(sweeps) + 90.0 * (row["gabor_frame"] == "U")
            np.testing.assert_array_equal(found, np.where(expected > 360, expected - 360, expected))
        assert not [problem for problem in ds.osca.validate() if problem.level == "error"]


def test_squares_of_two_sizes_are_refused(folder):
    with pytest.raises(FormatError, match="open the session without squares"):
        ox.open_session(folder, include="squares")
