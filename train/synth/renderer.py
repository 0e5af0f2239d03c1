"""Draws dressed bodies and things, and the labels of every pixel.

In: people, things, light and a camera.  Out: the picture, how much of each pixel is person, and per
pixel the person, the body part and the depth.  Both are drawn at once, finer than the picture.
Colours are averaged down; labels cannot be, so each pixel takes the fine sample nearest to its
centre, which is at most 0.3 px away and on average not at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final

import cv2
import moderngl
import numpy as np
from jaxtyping import Float32, Float64, UInt8

from train.synth.appearance import Appearance, Garment
from train.synth.camera import Camera
from train.synth.garments import CLOTH_LAYERS, Layer, Surfaces, Wardrobe
from train.synth.lighting import Light
from train.synth.opengl import (
    RendererKind,
    clip_from_world,
    clip_from_world_along,
    load_program,
    noise_tables,
    open_context,
    set_uniforms,
)
from train.synth.things import SHAPES, Shape, Thing

SUPERSAMPLING: Final = 1.25
"""Samples per pixel and axis in the picture: soft edges; cost grows with its square."""
SHADOW_SIZE: Final = 1024
SHADOW_DEPTH_M: Final = 10.0
SHADOW_OFFSET_M: Final = 0.008
NEAR_M: Final = 0.1
FAR_M: Final = 60.0
OUTLINE_SIZE: Final = 128
OUTLINE_OFFSET_M: Final = 0.012
"""What clothes add on average; the outline is drawn from the body alone."""
OPEN_LAYERS: Final = (Layer.TROUSERS, Layer.SHIRT, Layer.VEST)
"""Garments whose inside can be seen."""
MOST_THINGS: Final = 512
THING_FORMAT: Final = "4f 4f 4f 4f 4f/i"
THING_INPUTS: Final = ("i_row0", "i_row1", "i_row2", "i_colour", "i_finish")
BODY_INPUTS: Final = ("in_rest", "in_groups", "in_more_groups", "in_along", "in_face", "in_part")
THING_PASSES: Final = ("thing", "thing depth")
NOISE_UNIT, FRACTAL_UNIT, SHADOW_UNIT, BACKDROP_UNIT = range(4)


@dataclass(frozen=True, slots=True, kw_only=True)
class DressedBody:
    """One person ready to be drawn."""

    number: int
    """From 1, unique in the picture."""
    surfaces: Surfaces
    appearance: Appearance


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Everything in front of a camera."""

    people: Sequence[DressedBody]
    things: Sequence[Thing]
    light: Light
    centre_m: Float64[np.ndarray, "3"]
    """Middle of what the shadow map covers."""
    radius_m: float
    backdrop: UInt8[np.ndarray, "height width 3"]
    """RGB, as large as the picture; shown where nothing stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendering:
    """A picture and what is known about each of its pixels."""

    image: UInt8[np.ndarray, "height width 3"]
    """RGB."""
    soft: UInt8[np.ndarray, "height width"]
    """Share of the pixel that shows people, 255 for all of it."""
    person: UInt8[np.ndarray, "height width"]
    part: UInt8[np.ndarray, "height width"]
    depth_m: Float32[np.ndarray, "height width"]
    """Along the camera's axis, of people and things; 0 where there is only backdrop."""


class _BodyBuffers:
    """Room on the graphics card for one posed body, reused from picture to picture."""

    def __init__(self, renderer: "Renderer") -> None:
        context, size = renderer.context, len(renderer.wardrobe.vertex_data) * 6 * 4
        self.skin, self.cloth = context.buffer(reserve=size), context.buffer(reserve=size)
        posed = ("3f 3f", "in_position", "in_normal")
        fixed = (renderer.body_data, "3f 4f 4f 3f 4f 1f", *BODY_INPUTS)
        self.layers = {
            layer: context.vertex_array(
                renderer.layer_programs[layer],
                [(self.cloth if layer in CLOTH_LAYERS else self.skin, *posed), fixed],
                indices,
                skip_errors=True,
            )
            for layer, indices in renderer.layer_indices.items()
        }
        self.whole = context.vertex_array(
            renderer.programs["body depth"],
            [(self.skin, *posed)],
            renderer.all_indices,
        )

    def load(self, surfaces: Surfaces) -> None:
        self.skin.orphan()
        self.skin.write(surfaces.skin.tobytes())
        self.cloth.orphan()
        self.cloth.write(surfaces.cloth.tobytes())


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
        self.body_data = context.buffer(wardrobe.vertex_data.tobytes())
        self.layer_indices = {
            layer: context.buffer(faces.tobytes()) for layer, faces in wardrobe.layer_faces.items()
        }
        self.all_indices = context.buffer(wardrobe.faces.tobytes())
        self._bodies: list[_BodyBuffers] = []
        self._instances: dict[Shape, moderngl.Buffer] = {}
        self._thing_arrays: dict[tuple[str, Shape], moderngl.VertexArray] = {}
        for shape, corners in SHAPES.items():
            vertices = context.buffer(corners.tobytes())
            instances = context.buffer(reserve=MOST_THINGS * 20 * 4)
            self._instances[shape] = instances
            for name in THING_PASSES:
                self._thing_arrays[name, shape] = context.vertex_array(
                    self.programs[name],
                    [
                        (vertices, "3f 3f", "in_position", "in_normal"),
                        (instances, THING_FORMAT, *THING_INPUTS),
                    ],
                    skip_errors=True,
                )
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
                self._bodies.append(_BodyBuffers(self))
            for buffers, person in zip(self._bodies, scene.people, strict=False):
                buffers.load(person.surfaces)
            counts = self._load_things(scene.things, camera)
            shadow_from_world = clip_from_world_along(
                scene.light.direction,
                centre_m=scene.centre_m,
                radius_m=scene.radius_m,
                depth_m=max(SHADOW_DEPTH_M, scene.radius_m),
            )
            self._draw_shadows(scene, shadow_from_world)
            target, backdrop = self._target(camera.width_px, camera.height_px)
            backdrop.write(np.ascontiguousarray(scene.backdrop[::-1]).tobytes())
            self._set_view(scene, camera, shadow_from_world, target.size)
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

    def _load_things(self, things: Sequence[Thing], camera: Camera) -> dict[Shape, int]:
        """Write the instances of each shape from near to far, so that hidden ones cost little."""
        eye_m = camera.position_m

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

    def _draw_things(self, name: str, counts: dict[Shape, int]) -> None:
        for shape, count in counts.items():
            if count:
                self._thing_arrays[name, shape].render(instances=count)

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
        self._draw_things("thing depth", casters)

    def _set_view(
        self,
        scene: Scene,
        camera: Camera,
        shadow_from_world: Float64[np.ndarray, "4 4"],
        picture_size: tuple[int, int],
    ) -> None:
        light = scene.light
        seeing = [self.programs[name] for name in ("thing", "backdrop")]
        for program in (*self.layer_programs.values(), *seeing):
            set_uniforms(
                program,
                u_clip_from_world=clip_from_world(camera, near_m=NEAR_M, far_m=FAR_M),
                u_depth_from_world=camera.camera_from_world[2],
                u_camera=camera.position_m,
                u_sun_direction=light.direction,
                u_sun_colour=light.colour,
                u_sky_colour=light.sky,
                u_ground_colour=light.ground,
                u_lamp_positions=light.lamp_positions_m,
                u_lamp_colours=light.lamp_colours,
                u_shadow_from_world=shadow_from_world,
                u_shadow_softness=light.shadow_softness,
                u_exposure=light.exposure,
                u_noise=NOISE_UNIT,
                u_fractal=FRACTAL_UNIT,
                u_shadow=SHADOW_UNIT,
                u_backdrop=BACKDROP_UNIT,
                u_backdrop_texel=np.array([1 / picture_size[0], 1 / picture_size[1]]),
                u_eye=self.wardrobe.eye_m,
            )

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
        self._draw_things("thing", counts)
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
            worn = _person_uniforms(person)
            for garment in person.appearance.garments:
                program = self.layer_programs[garment.layer]
                set_uniforms(program, **worn, **_garment_uniforms(garment, person.appearance.seed))
                if garment.layer in OPEN_LAYERS:
                    self.context.disable(moderngl.CULL_FACE)
                else:
                    self.context.enable(moderngl.CULL_FACE)
                buffers.layers[garment.layer].render()
        self.context.disable(moderngl.CULL_FACE)


def _person_uniforms(person: DressedBody) -> dict[str, object]:
    look = person.appearance
    shirt, trousers = look.worn(Layer.SHIRT), look.worn(Layer.TROUSERS)
    gloves, boots = look.worn(Layer.GLOVES), look.worn(Layer.BOOTS)
    covered = (
        shirt.sleeve if shirt else -9.0,
        trousers.leg_cut if trousers else -9.0,
        gloves.sleeve if gloves else 9.0,
        boots.leg_cut if boots else 9.0,
    )
    return {
        "u_person": float(person.number),
        "u_skin": look.skin,
        "u_hair": look.hair,
        "u_iris": look.iris,
        "u_hairline": look.hairline_m,
        "u_face_wear": np.array(look.face_wear),
        "u_covered": np.array(covered),
        "u_covered_hem": shirt.hem if shirt else 9.0,
    }


def _garment_uniforms(garment: Garment, seed: float) -> dict[str, object]:
    swell, more_swell = garment.swell
    return {
        "u_offset": garment.offset_m,
        "u_seed": seed + 3.1 * garment.layer,
        "u_swell": np.array(swell, np.float64),
        "u_more_swell": np.array(more_swell, np.float64),
        "u_colour": garment.colour,
        "u_second_colour": garment.second_colour,
        "u_pattern": int(garment.pattern),
        "u_sleeve": garment.sleeve,
        "u_hem": garment.hem,
        "u_leg_cut": garment.leg_cut,
        "u_wrinkle": garment.wrinkle,
    }
