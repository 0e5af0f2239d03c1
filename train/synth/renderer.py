"""Draws dressed bodies and things, and the labels of every pixel.

In: people, things, light and a camera.  Out: the picture, how much of each pixel is person, and per
pixel the person, the body part and the depth.  Both are drawn at once, finer than the picture.
Colours are averaged down; labels cannot be, so each pixel takes the fine sample nearest to its
centre, which is at most 0.3 px away and on average not at all.
"""

from collections.abc import Sequence
from types import TracebackType
from typing import Final

import cv2
import moderngl
import numpy as np
from jaxtyping import Float32, Float64, UInt8

from train.synth.buffers import BodyBuffers, ThingBuffers, WardrobeBuffers
from train.synth.camera import Camera
from train.synth.garments import Layer, Wardrobe
from train.synth.opengl import (
    RendererKind,
    clip_from_world,
    clip_from_world_along,
    load_program,
    noise_tables,
    open_context,
    set_uniforms,
)
from train.synth.rendering import DressedBody, Rendering, Scene
from train.synth.things import SHAPES, Shape
from train.synth.uniforms import (
    BACKDROP_UNIT,
    FAR_M,
    FRACTAL_UNIT,
    NEAR_M,
    NOISE_UNIT,
    SHADOW_UNIT,
    garment_uniforms,
    person_uniforms,
    view_uniforms,
)

SUPERSAMPLING: Final = 1.25
"""Samples per pixel and axis in the picture: soft edges; cost grows with its square."""
SHADOW_SIZE: Final = 1024
SHADOW_DEPTH_M: Final = 10.0
SHADOW_OFFSET_M: Final = 0.008
OUTLINE_SIZE: Final = 128
OUTLINE_OFFSET_M: Final = 0.012
"""What clothes add on average; the outline is drawn from the body alone."""
OPEN_LAYERS: Final = (Layer.TROUSERS, Layer.SHIRT, Layer.VEST)
"""Garments whose inside can be seen."""
THING_PASSES: Final = ("thing", "thing depth")


class Renderer:
    """An OpenGL context with the body's layers and the unit shapes loaded."""

    def __init__(self, wardrobe: Wardrobe, *, kind: RendererKind = "any") -> None:
        self.context = context = open_context(kind)
        self.name: str = context.info["GL_RENDERER"]
        self.wardrobe = wardrobe
        body, thing = ("body_vertex", "body_fragment"), ("object_vertex", "object_fragment")
        self.programs = {
            "body depth": load_program(context, "body_depth_vertex", "depth_fragment"),
            "thing": load_program(context, *thing),
            "thing depth": load_program(context, "object_vertex", "depth_fragment"),
            "backdrop": load_program(context, "backdrop_vertex", "backdrop_fragment"),
        }
        self.layer_programs = {
            layer: load_program(context, *body, f"LAYER {layer % Layer.HANDS:d}") for layer in Layer
        }
        self._worn = WardrobeBuffers(context, wardrobe)
        self._bodies: list[BodyBuffers] = []
        self._things = ThingBuffers(context, {name: self.programs[name] for name in THING_PASSES})
        square = np.array([-1, -1, 1, -1, -1, 1, 1, 1], np.float32)
        self._square = context.vertex_array(
            self.programs["backdrop"],
            [(context.buffer(square.tobytes()), "2f", "in_corner")],
        )
        noise, fractal = noise_tables(np.random.default_rng(0))
        self._noise = context.texture3d(noise.shape, 1, noise.tobytes())
        self._fractal = context.texture3d(fractal.shape[:3], 4, fractal.tobytes())
        self._shadow = context.depth_texture((SHADOW_SIZE, SHADOW_SIZE))
        self._shadow.compare_func = "<="
        self._shadow.filter = (moderngl.LINEAR, moderngl.LINEAR)
        self._shadow_target = context.framebuffer(depth_attachment=self._shadow)
        self._outline = context.framebuffer([context.renderbuffer((OUTLINE_SIZE, OUTLINE_SIZE), 1)])
        self._targets: dict[tuple[int, int], tuple[moderngl.Framebuffer, moderngl.Texture]] = {}

    def __enter__(self) -> "Renderer":  # noqa: PYI034  # the tests' type hook knows no Self
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.context.release()

    def render(self, scene: Scene, camera: Camera) -> Rendering:
        """Draw the picture and its labels."""
        with self.context:
            while len(self._bodies) < len(scene.people):
                self._bodies.append(
                    BodyBuffers(
                        self.context,
                        self._worn,
                        layer_programs=self.layer_programs,
                        depth_program=self.programs["body depth"],
                    )
                )
            for buffers, person in zip(self._bodies, scene.people, strict=False):
                buffers.load(person.surfaces)
            counts = self._things.load(scene.things, eye_m=camera.position_m)
            shadow_from_world = clip_from_world_along(
                scene.light.direction,
                centre_m=scene.centre_m,
                radius_m=scene.radius_m,
                depth_m=max(SHADOW_DEPTH_M, scene.radius_m),
            )
            self._draw_shadows(scene, shadow_from_world)
            target, backdrop = self._target(camera.width_px, camera.height_px)
            backdrop.write(np.ascontiguousarray(scene.backdrop[::-1]).tobytes())
            shared = view_uniforms(
                scene.light,
                camera,
                shadow_from_world=shadow_from_world,
                picture_size=target.size,
                eye_m=self.wardrobe.eye_m,
            )
            seeing = [self.programs[name] for name in ("thing", "backdrop")]
            for program in (*self.layer_programs.values(), *seeing):
                set_uniforms(program, **shared)
            self._noise.use(NOISE_UNIT)
            self._fractal.use(FRACTAL_UNIT)
            self._shadow.use(SHADOW_UNIT)
            backdrop.use(BACKDROP_UNIT)
            fine, fine_labels = self._draw(scene, counts, target)
        size = (camera.width_px, camera.height_px)
        small = cv2.resize(fine, size, interpolation=cv2.INTER_AREA)
        rows, columns = (
            np.floor((np.arange(count) + 0.5) * len_fine / count).astype(int)
            for count, len_fine in zip(size[::-1], fine.shape, strict=False)
        )
        labels = fine_labels[rows[:, None], columns]
        return Rendering(
            image=np.ascontiguousarray(small[:, :, :3]),
            soft=np.ascontiguousarray(small[:, :, 3]),
            person=labels[:, :, 0].astype(np.uint8),
            part=labels[:, :, 1].astype(np.uint8),
            depth_m=np.ascontiguousarray(labels[:, :, 2]),
        )

    def outline_area_px(self, index: int, outline_camera: Camera) -> float:
        """Count the pixels the person drawn at `index` would cover alone in a square window."""
        with self.context:
            program = self.programs["body depth"]
            clip = clip_from_world(outline_camera, near_m=NEAR_M, far_m=FAR_M)
            set_uniforms(program, u_clip_from_world=clip, u_offset=OUTLINE_OFFSET_M)
            self._outline.use()
            self._outline.clear()
            self.context.enable_only(moderngl.CULL_FACE)
            self._bodies[index].whole.render()
            covered = np.frombuffer(self._outline.read(components=1), np.uint8)
        return float(np.count_nonzero(covered))

    def _target(self, width: int, height: int) -> tuple[moderngl.Framebuffer, moderngl.Texture]:
        if (width, height) not in self._targets:
            context = self.context
            fine = (round(width * SUPERSAMPLING), round(height * SUPERSAMPLING))
            backdrop = context.texture((width, height), 3, alignment=1)
            backdrop.repeat_x = backdrop.repeat_y = False
            self._targets[width, height] = (
                context.framebuffer(
                    [
                        context.renderbuffer(fine, 4),
                        context.renderbuffer(fine, 4, dtype="f4"),
                    ],
                    context.depth_renderbuffer(fine),
                ),
                backdrop,
            )
        return self._targets[width, height]

    def _draw_shadows(self, scene: Scene, shadow_from_world: Float64[np.ndarray, "4 4"]) -> None:
        self._shadow_target.use()
        self._shadow_target.clear(depth=1.0)
        self.context.enable_only(moderngl.DEPTH_TEST)
        for name in ("body depth", "thing depth"):
            set_uniforms(
                self.programs[name],
                u_clip_from_world=shadow_from_world,
                u_offset=SHADOW_OFFSET_M,
            )
        self.context.enable(moderngl.CULL_FACE)
        for buffers, _ in zip(self._bodies, scene.people, strict=False):
            buffers.whole.render()
        self.context.disable(moderngl.CULL_FACE)
        casters = {
            shape: sum(thing.shape == shape and not thing.is_ground for thing in scene.things)
            for shape in SHAPES
        }
        self._things.draw("thing depth", casters)

    def _draw(
        self,
        scene: Scene,
        counts: dict[Shape, int],
        target: moderngl.Framebuffer,
    ) -> tuple[UInt8[np.ndarray, "rows columns 4"], Float32[np.ndarray, "rows columns 4"]]:
        target.use()
        target.clear(depth=1.0)
        self.context.disable(moderngl.DEPTH_TEST)
        self._square.render(moderngl.TRIANGLE_STRIP)
        self.context.enable_only(moderngl.DEPTH_TEST)
        self._draw_people(scene.people)
        self._things.draw("thing", counts)
        width, height = target.size
        colours = np.frombuffer(target.read(components=4, alignment=1), np.uint8)
        labels = np.frombuffer(
            target.read(components=4, attachment=1, dtype="f4", alignment=1),
            np.float32,
        )
        return (
            np.ascontiguousarray(colours.reshape(height, width, 4)[::-1]),
            labels.reshape(height, width, 4)[::-1],
        )

    def _draw_people(self, people: Sequence[DressedBody]) -> None:
        for buffers, person in zip(self._bodies, people, strict=False):
            worn = person_uniforms(person)
            for garment in person.appearance.garments:
                program = self.layer_programs[garment.layer]
                set_uniforms(program, **worn, **garment_uniforms(garment, person.appearance.seed))
                if garment.layer in OPEN_LAYERS:
                    self.context.disable(moderngl.CULL_FACE)
                else:
                    self.context.enable(moderngl.CULL_FACE)
                buffers.layers[garment.layer].render()
        self.context.disable(moderngl.CULL_FACE)
