"""Sequences divided at random into those to learn from and those to test on, class by class."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from oscaxr.errors import CriterionError, MissingLibraryError, few

Ints = npt.NDArray[np.intp]


class Division(NamedTuple):
    """Rows to learn from, and rows to test on."""

    train: Ints
    test: Ints


def divisions(
    labels: Ints,
    count: int,
    random: np.random.Generator,
    *,
    train: float,
    counts: Ints | None = None,
) -> list[Division]:
    """Divide rows `count` times, so that every class is on both sides with about the same share.

    With `counts`, only so many rows of each class are then taken at random: whole ``train`` times
    the number to learn from, the rest to test on.
    """
    try:
        from sklearn.model_selection import StratifiedShuffleSplit
    except ImportError as error:
        raise MissingLibraryError(
            f"decoding needs scikit-learn ({error}): pip install 'oscaxr[analyses]'"
        ) from error
    state = int(random.integers(2**32))
    dealer = StratifiedShuffleSplit(count, train_size=train, random_state=state)
    dealt = [Division(*parts) for parts in dealer.split(labels, labels)]
    if counts is None:
        return dealt
    wanted = np.floor(train * counts).astype(np.intp)
    return [
        Division(
            _chosen(one.train, labels, wanted, random),
            _chosen(one.test, labels, counts - wanted, random),
        )
        for one in dealt
    ]


def _chosen(rows: Ints, labels: Ints, wanted: Ints, random: np.random.Generator) -> Ints:
    """Choose at random as many rows of each class as wanted."""
    # In random order within classes: the first so many of each.
    rows = rows[np.lexsort((random.random(len(rows)), labels[rows]))]
    found = np.bincount(labels[rows], minlength=len(wanted))
    if (found < wanted).any():
        raise CriterionError(
            f"of the classes there are {found.tolist()} sequences on one side of a division, but "
            f"{wanted.tolist()} are to be taken: give smaller counts"
        )
    rank = np.arange(len(rows)) - (np.cumsum(found) - found)[labels[rows]]
    return rows[rank < wanted[labels[rows]]]


def check_classes(
    classes: npt.NDArray[Any], present: Ints, counts: Ints | None, train: float, session: object
) -> None:
    """Refuse classes of which too few sequences are there to learn from and to test on."""
    if not 0 < train < 1:
        raise CriterionError(f"train={train!r}: it is the share to learn from, between 0 and 1")
    if len(classes) < 2:
        raise CriterionError(
            f"session {session}: all {present.sum()} sequences are of one class "
            f"({few(classes)}); at least two are needed to tell them apart"
        )
    taken = present if counts is None else counts
    least = np.minimum(np.floor(train * taken), taken - np.floor(train * taken))
    if (least < 1).any() or (taken > present).any():
        told = few([f"{name}: {n}" for name, n in zip(classes, present, strict=True)], 12)
        asked = "" if counts is None else f", of which {counts.tolist()} are to be taken"
        raise CriterionError(
            f"session {session}: too few sequences of some classes ({told}{asked}): each needs "
            f"one at least to learn from and one to test on, with train={train:g}"
        )


def counts_of(asked: Mapping[Any, int], classes: npt.NDArray[Any]) -> Ints:
    """Return how many sequences of each class to take, as asked by class."""
    if {*asked} != {*classes.tolist()}:
        raise CriterionError(
            f"counts are given for {few(map(repr, asked))}, but the classes are "
            f"{few(map(repr, classes.tolist()))}: give one for each"
        )
    counts = [asked[name] for name in classes.tolist()]
    if any(int(count) != count for count in counts):
        raise CriterionError(f"counts={dict(asked)!r}: they are whole numbers")
    return np.array(counts, dtype=np.intp)
