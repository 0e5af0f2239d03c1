"""Room on the graphics card for posed bodies and for things, reused from picture to picture."""

from collections.abc import Mapping, Sequence
from typing import Final

import moderngl
import numpy as np
from jaxtyping import Float64

from train.synth.garments import CLOTH_LAYERS, Layer, Surfaces, Wardrobe
from train.synth.things import SHAPES, Shape, Thing

MOST_THINGS: Final = 512
THING_FORMAT: Final = "4f 4f 4f 4f 4f/i"
THING_INPUTS: Final = ("i_row0", "i_row1", "i_row2", "i_colour", "i_finish")
THING_VALUES: Final = 20
BODY_INPUTS: Final = ("in_rest", "in_groups", "in_more_groups", "in_along", "in_face", "in_part")
BODY_FORMAT: Final = "3f 4f 4f 3f 4f 1f"
POSED_VALUES: Final = 6
FLOAT_BYTES: Final = 4


class WardrobeBuffers:
    """What is the same for every body: the data of its vertices and the faces of each layer."""

    def __init__(self, context: moderngl.Context, wardrobe: Wardrobe) -> None:
        self.posed_bytes = len(wardrobe.vertex_data) * POSED_VALUES * FLOAT_BYTES
        self.vertex_data = context.buffer(wardrobe.vertex_data.tobytes())
        self.layer_indices = {
            layer: context.buffer(faces.tobytes()) for layer, faces in wardrobe.layer_faces.items()
        }
        self.all_indices = context.buffer(wardrobe.faces.tobytes())


class BodyBuffers:
    """One posed body: `layers` draw what is worn, `whole` the skin alone, for its shadow."""

    def __init__(
        self,
        context: moderngl.Context,
        wardrobe: WardrobeBuffers,
        *,
        layer_programs: Mapping[Layer, moderngl.Program],
        depth_program: moderngl.Program,
    ) -> None:
        size = wardrobe.posed_bytes
        self._skin, self._cloth = context.buffer(reserve=size), context.buffer(reserve=size)
        posed = ("3f 3f", "in_position", "in_normal")
        fixed = (wardrobe.vertex_data, BODY_FORMAT, *BODY_INPUTS)
        self.layers = {
            layer: context.vertex_array(
                layer_programs[layer],
                [(self._cloth if layer in CLOTH_LAYERS else self._skin, *posed), fixed],
                indices,
                skip_errors=True,
            )
            for layer, indices in wardrobe.layer_indices.items()
        }
        self.whole = context.vertex_array(
            depth_program, [(self._skin, *posed)], wardrobe.all_indices
        )

    def load(self, surfaces: Surfaces) -> None:
        """Take another body's vertices."""
        self._skin.orphan()
        self._skin.write(surfaces.skin.tobytes())
        self._cloth.orphan()
        self._cloth.write(surfaces.cloth.tobytes())


class ThingBuffers:
    """All things of a scene, a list of instances for each unit shape, for several programs."""

    def __init__(self, context: moderngl.Context, programs: Mapping[str, moderngl.Program]) -> None:
        self._instances: dict[Shape, moderngl.Buffer] = {}
        self._arrays: dict[tuple[str, Shape], moderngl.VertexArray] = {}
        for shape, corners in SHAPES.items():
            vertices = context.buffer(corners.tobytes())
            instances = context.buffer(reserve=MOST_THINGS * THING_VALUES * FLOAT_BYTES)
            self._instances[shape] = instances
            for name, program in programs.items():
                self._arrays[name, shape] = context.vertex_array(
                    program,
                    [
                        (vertices, "3f 3f", "in_position", "in_normal"),
                        (instances, THING_FORMAT, *THING_INPUTS),
                    ],
                    skip_errors=True,
                )

    def load(self, things: Sequence[Thing], *, eye_m: Float64[np.ndarray, "3"]) -> dict[Shape, int]:
        """Write the instances of each shape from near to far, so that hidden ones cost little."""

        def nearness(thing: Thing) -> tuple[bool, float]:
            return thing.is_ground, float(np.linalg.norm(thing.world_from_shape[:, 3] - eye_m))

        counts: dict[Shape, int] = {}
        for shape, instances in self._instances.items():
            chosen = sorted((thing for thing in things if thing.shape == shape), key=nearness)
            counts[shape] = len(chosen)
            if chosen:
                rows = [
                    [
                        *thing.world_from_shape.ravel(),
                        *thing.colour,
                        thing.part,
                        thing.finish,
                        thing.roughness,
                        thing.texture_scale,
                        thing.person,
                    ]
                    for thing in chosen
                ]
                instances.write(np.array(rows, np.float32).tobytes())
        return counts

    def draw(self, program: str, counts: Mapping[Shape, int]) -> None:
        """Draw the first so many instances of each shape."""
        for shape, count in counts.items():
            if count:
                self._arrays[program, shape].render(instances=count)
