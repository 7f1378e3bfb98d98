"""Layouts of skeletons: which joints there are, how they hang together, what mirrors what.

Plain data for both sides: transforms of key points and adjacency matrices of graph networks.

| layout     | joints | published with                                               |
|------------|--------|--------------------------------------------------------------|
| `coco`     | 17     | COCO key points: what 2-D pose estimators find               |
| `nturgb+d` | 25     | Kinect v2: the 3-D skeletons of NTU RGB+D (Shahroudy, 2016)  |
| `openpose` | 18     | OpenPose: the Kinetics skeletons of ST-GCN (Yan et al., 2018) |
| `handmp`   | 21     | MediaPipe Hands: one hand                                    |
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from jaxvid.errors import UserError, did_you_mean

Pair = tuple[int, int]
# A name in SKELETONS; or a graph of one's own: joints, center and edges, as in `Skeleton`
Layout = str | tuple[int, int, tuple[Pair, ...]]


@dataclass(frozen=True)
class Skeleton:
    """Attributes:
    joints: number of joints; all others are indices from 0.
    center: the joint that graphs are rooted at.
    edges: (joint, its neighbor on the way to the center): one for each joint but the center.
    bones: for each joint, the joint that its bone starts at; itself where the bone is zero. The
      published bones are not all edges.
    left, right: joints that a mirror swaps, in pairs; empty where nothing is to swap.
    """

    joints: int
    center: int
    edges: tuple[Pair, ...]
    bones: tuple[int, ...]
    left: tuple[int, ...] = ()
    right: tuple[int, ...] = ()

    @property
    def mirror(self) -> tuple[int, ...]:
        """The joint that each joint becomes in a mirror."""
        return swap(range(self.joints), self.left, self.right)


def swap(items: Sequence[int], left: Sequence[int], right: Sequence[int]) -> tuple[int, ...]:
    """Return the items, with those at the positions `left` and `right` exchanged pair by pair."""
    other = dict(zip((*left, *right), (*right, *left), strict=True))
    return tuple(items[other.get(i, i)] for i in range(len(items)))


def get(layout: Layout) -> Skeleton:
    """Return the skeleton of a name, or of a graph of one's own: (joints, center, edges).

    The bone of a joint is its first edge. Nothing is swapped by a mirror.

    Raises:
      UserError: there is no such skeleton; suggests the nearest name. Or an edge is wrong, or a
        joint has no way to the center.
    """
    if not isinstance(layout, str):
        return own(*layout) if len(layout) == 3 else refuse(layout, "it needs three items")
    if layout not in SKELETONS:
        raise UserError(f'no skeleton layout "{layout}".{did_you_mean(layout, SKELETONS)}')
    return SKELETONS[layout]


def own(joints: int, center: int, edges: tuple[Pair, ...]) -> Skeleton:
    """Return the skeleton of a graph, see `get`."""
    layout = joints, center, edges
    if not 0 <= center < joints:
        refuse(layout, f"the center must be one of the {joints} joints, from 0 to {joints - 1}")
    inward: dict[int, list[int]] = {joint: [] for joint in range(joints)}
    for joint, neighbor in edges:
        if not (joint in inward and neighbor in inward and joint != neighbor):
            refuse(layout, f"({joint}, {neighbor}) is no edge between two of {joints} joints")
        inward[joint].append(neighbor)
    near, farther = {center}, {center}
    while farther:
        farther = {j for j, there in inward.items() if farther & {*there}} - near
        near |= farther
    if lost := sorted(inward.keys() - near):
        refuse(layout, f"no edges lead from joint {lost[0]} to the center, {center}")
    if inward[center]:
        refuse(
            layout, f"an edge leads away from the center, {center}: ({center}, {inward[center][0]})"
        )
    bones = tuple(there[0] if there else joint for joint, there in inward.items())
    return Skeleton(joints, center, tuple((a, b) for a, b in edges), bones)


def refuse(layout: Layout, problem: str) -> NoReturn:
    raise UserError(
        f"layout {layout}: {problem}. A layout is a name, or joints, center and edges,"
        " each edge a joint and its neighbor on the way to the center: (3, 0, ((1, 0), (2, 1)))"
    )


SKELETONS = {
    "coco": Skeleton(
        joints=17,
        center=0,
        edges=(
            *((15, 13), (13, 11), (16, 14), (14, 12), (11, 5), (12, 6), (9, 7), (7, 5)),
            *((10, 8), (8, 6), (5, 0), (6, 0), (1, 0), (3, 1), (2, 0), (4, 2)),
        ),
        bones=(0, 0, 0, 1, 2, 0, 0, 5, 6, 7, 8, 0, 0, 11, 12, 13, 14),
        left=(1, 3, 5, 7, 9, 11, 13, 15),
        right=(2, 4, 6, 8, 10, 12, 14, 16),
    ),
    "nturgb+d": Skeleton(
        joints=25,
        center=20,
        edges=(
            *((0, 1), (1, 20), (2, 20), (3, 2), (4, 20), (5, 4), (6, 5), (7, 6), (8, 20), (9, 8)),
            *((10, 9), (11, 10), (12, 0), (13, 12), (14, 13), (15, 14), (16, 0), (17, 16)),
            *((18, 17), (19, 18), (21, 7), (22, 7), (23, 11), (24, 11)),
        ),
        bones=(
            *(1, 20, 20, 2, 20, 4, 5, 6, 20, 8, 9, 10, 0, 12, 13, 14, 0, 16, 17, 18, 20),
            *(22, 7, 24, 11),
        ),
        left=(4, 5, 6, 7, 12, 13, 14, 15, 21, 22),
        right=(8, 9, 10, 11, 16, 17, 18, 19, 23, 24),
    ),
    "openpose": Skeleton(
        joints=18,
        center=1,
        edges=(
            *((4, 3), (3, 2), (7, 6), (6, 5), (13, 12), (12, 11), (10, 9), (9, 8), (11, 5)),
            *((8, 2), (5, 1), (2, 1), (0, 1), (15, 0), (14, 0), (17, 15), (16, 14)),
        ),
        bones=(0, 0, 1, 2, 3, 1, 5, 6, 2, 8, 9, 5, 11, 12, 0, 0, 14, 15),
        left=(5, 6, 7, 11, 12, 13, 15, 17),
        right=(2, 3, 4, 8, 9, 10, 14, 16),
    ),
    "handmp": Skeleton(
        joints=21,
        center=0,
        edges=tuple((j, 0 if j % 4 == 1 else j - 1) for j in range(1, 21)),
        bones=(0, *(0 if j % 4 == 1 else j - 1 for j in range(1, 21))),
    ),
}
