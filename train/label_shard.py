"""A shard of teacher labels on disk: some pictures and the people in them, written in one piece.

In: `LabelledImage`s.  Out: `labels-00000.npz`, and what was in it.

A shard (no pickles) holds, per picture: `jpeg_bytes` and `jpeg_offsets`, `key`, `source`,
`licence`, `group`, `size` int32 (width, height).  Per labelled person: `image` int32 (index in
the shard), `joints_px` float32 [25,2], `confidence` float32 [25] (0 = no label), `box_px` float32
[4], `reach_px` float32 [2,2], `mask_png_bytes` and `mask_png_offsets` (soft 8-bit mask of the
picture's size), `quality`, `disagreement_px`.  Per box of the people teacher: `det_image`,
`det_box_px`, `det_score`.  Per box that came with the picture: `given_image`, `given_kind`,
`given_box_px`.  Per reason for which people were turned down: `rejected_reason`,
`rejected_count`.

Beside a shard may lie `overlooked-00000.npz`, of people whose heads came with the picture and whom
no teacher boxed (`python -m train overlooked`): `image`, `box_px` and `network`, the hash of the
pose network that saw them.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from edge_pose.errors import SourceError
from train.labelled_image import LabelledImage, LabelledPerson, no_boxes
from train.sources import BOX_KINDS, GivenBox


def write_shard(shard: Path, images: Sequence[LabelledImage]) -> None:
    """Write the pictures, whole or not at all."""
    part = shard.with_suffix(".part")
    with part.open("wb") as file:
        np.savez(file, allow_pickle=False, **_pack(images))
    part.replace(shard)


def read_shard(shard: Path) -> Iterator[LabelledImage]:
    """Yield the labelled pictures of a shard."""
    with np.load(shard) as arrays:
        if "reach_px" not in arrays:
            raise SourceError(
                f"{shard} holds labels of an older form; delete {shard.parent}, label again"
            )
        labels = dict(arrays)
    seen = _beside(shard)
    if seen.exists():
        with np.load(seen) as arrays:
            labels.update(overlooked_image=arrays["image"], overlooked_px=arrays["box_px"])
    yield from _unpack(labels)


def overlooked_by(shard: Path) -> str:
    """Return the hash of the network that looked for the overlooked of a shard, or nothing."""
    seen = _beside(shard)
    if not seen.exists():
        return ""
    with np.load(seen) as arrays:
        return str(arrays["network"])


def write_overlooked(
    shard: Path, boxes_px: Sequence[Float32[np.ndarray, "_ 4"]], *, network: str
) -> None:
    """Keep the overlooked of each picture of a shard beside it, whole or not at all."""
    part = _beside(shard).with_suffix(".part")
    with part.open("wb") as file:
        np.savez(
            file,
            allow_pickle=False,
            image=np.repeat(np.arange(len(boxes_px), dtype=np.int32), [len(b) for b in boxes_px]),
            box_px=np.concatenate([no_boxes(), *boxes_px]),
            network=np.array(network, np.str_),
        )
    part.replace(_beside(shard))


def _beside(shard: Path) -> Path:
    return shard.with_name(shard.name.replace("labels", "overlooked"))


def _pack(images: Sequence[LabelledImage]) -> dict[str, np.ndarray]:
    people = [(number, person) for number, image in enumerate(images) for person in image.people]
    given = [(number, box) for number, image in enumerate(images) for box in image.given]
    rejected = Counter[str]()
    for image in images:
        rejected.update(image.rejected)
    jpeg_bytes, jpeg_offsets = _join([image.jpeg for image in images])
    mask_bytes, mask_offsets = _join([person.mask_png for _, person in people])
    return {
        "jpeg_bytes": jpeg_bytes,
        "jpeg_offsets": jpeg_offsets,
        "key": np.array([image.key for image in images], np.str_),
        "source": np.array([image.source for image in images], np.str_),
        "licence": np.array([image.licence for image in images], np.str_),
        "group": np.array([image.group for image in images], np.str_),
        "size": np.array([(image.width_px, image.height_px) for image in images], np.int32),
        "image": np.array([number for number, _ in people], np.int32),
        "joints_px": _stack([person.joints_px for _, person in people], (25, 2)),
        "confidence": _stack([person.confidence for _, person in people], (25,)),
        "box_px": _stack([person.box_px for _, person in people], (4,)),
        "reach_px": _stack([person.reach_px for _, person in people], (2, 2)),
        "mask_png_bytes": mask_bytes,
        "mask_png_offsets": mask_offsets,
        "quality": np.array([person.quality for _, person in people], np.float32),
        "disagreement_px": np.array([person.disagreement_px for _, person in people], np.float32),
        "det_image": np.repeat(
            np.arange(len(images), dtype=np.int32), [len(image.detected_px) for image in images]
        ),
        "det_box_px": np.concatenate([image.detected_px for image in images]),
        "det_score": np.concatenate([image.detected_scores for image in images]),
        "given_image": np.array([number for number, _ in given], np.int32),
        "given_kind": np.array([box.kind for _, box in given], np.str_),
        "given_box_px": _stack([box.box_px for _, box in given], (4,)),
        "rejected_reason": np.array(list(rejected), np.str_),
        "rejected_count": np.array(list(rejected.values()), np.int32),
    }


def _unpack(arrays: Mapping[str, np.ndarray]) -> Iterator[LabelledImage]:
    jpegs = _split(arrays["jpeg_bytes"], arrays["jpeg_offsets"])
    masks = _split(arrays["mask_png_bytes"], arrays["mask_png_offsets"])
    overlooked = arrays.get("overlooked_image", np.zeros(0, np.int32))
    for number, jpeg in enumerate(jpegs):
        detected = arrays["det_image"] == number
        yield LabelledImage(
            jpeg=jpeg,
            key=str(arrays["key"][number]),
            source=str(arrays["source"][number]),
            licence=str(arrays["licence"][number]),
            group=str(arrays["group"][number]),
            width_px=int(arrays["size"][number, 0]),
            height_px=int(arrays["size"][number, 1]),
            people=tuple(
                LabelledPerson(
                    joints_px=arrays["joints_px"][index],
                    confidence=arrays["confidence"][index],
                    box_px=arrays["box_px"][index],
                    reach_px=arrays["reach_px"][index],
                    mask_png=masks[index],
                    quality=float(arrays["quality"][index]),
                    disagreement_px=float(arrays["disagreement_px"][index]),
                )
                for index in np.flatnonzero(arrays["image"] == number)
            ),
            detected_px=arrays["det_box_px"][detected],
            detected_scores=arrays["det_score"][detected],
            given=tuple(
                GivenBox(
                    kind=BOX_KINDS[BOX_KINDS.index(str(arrays["given_kind"][index]))],
                    box_px=arrays["given_box_px"][index],
                )
                for index in np.flatnonzero(arrays["given_image"] == number)
            ),
            overlooked_px=arrays.get("overlooked_px", no_boxes())[overlooked == number],
        )


def _join(pieces: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.cumsum([0, *(len(piece) for piece in pieces)]).astype(np.int64)
    return np.frombuffer(b"".join(pieces), np.uint8), offsets


def _split(content: np.ndarray, offsets: np.ndarray) -> list[bytes]:
    return [content[start:end].tobytes() for start, end in pairwise(offsets.tolist())]


def _stack(rows: Sequence[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    return np.asarray(rows, np.float32).reshape(-1, *shape)
