// Three drawings of the same people: as the camera sees them, in space, and from above.
// In: canvases, a meta message and the persons of a frame (camera axes: x right, y down, z forward;
// metres).  Out: pixels.  Nothing here knows where messages come from.

const PALETTE = ["#4cc9f0", "#ffb703", "#80ed99", "#f78bd3", "#9d8cff", "#ff7b54", "#d4e157", "#4dd4ac"];
const PALETTE_ON_LIGHT = ["#0077b6", "#b86e00", "#2b8a3e", "#c2188c", "#5f3dc4", "#d9480f", "#6b7a00", "#087f6a"];
const SURE = 0.5; // below this probability a joint is drawn faintly
const FAINT = 0.28;
const FONT = 'system-ui, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif';

export const isLight = () => document.documentElement.dataset.theme === "light";
export const colourOf = (id) => (isLight() ? PALETTE_ON_LIGHT : PALETTE)[Math.abs(id - 1) % PALETTE.length];
// What is shown is no longer so: it turns grey.
const paintOf = (id, live) => (live ? colourOf(id) : themed("quiet"));
const themed = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

export function distanceOf(person, joints) {
  const [x, y, z] = person.kp[joints.pelvis];
  return x === null ? null : Math.hypot(x, y, z);
}

// Names to numbers once per meta message, so that drawing reads like anatomy.
export const jointsOf = (meta) => Object.fromEntries(meta.joints.map((name, index) => [name, index]));

function begin(canvas) {
  const scale = window.devicePixelRatio || 1;
  const width = canvas.clientWidth, height = canvas.clientHeight;
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.lineCap = pen.lineJoin = "round";
  pen.lineWidth = 1;
  return { pen, width, height };
}

function line(pen, a, b) {
  pen.beginPath();
  pen.moveTo(a[0], a[1]);
  pen.lineTo(b[0], b[1]);
  pen.stroke();
}

function dot(pen, at, radius) {
  pen.beginPath();
  pen.arc(at[0], at[1], radius, 0, 2 * Math.PI);
  pen.fill();
}

// Writes on a coloured ground; moves up rather than over what is written already.
function chip(pen, text, at, colour, { width, height, taken }) {
  const small = width < 420;
  const tall = small ? 20 : 25;
  pen.font = `650 ${small ? 13 : 16}px ${FONT}`;
  const wide = pen.measureText(text).width + 14;
  const left = Math.min(Math.max(at[0] - wide / 2, 4), width - wide - 4);
  let top = Math.min(Math.max(at[1] - tall, 34), height - tall - 4);
  const hit = (box) => left < box.left + box.wide + 2 && box.left < left + wide + 2 && Math.abs(top - box.top) < tall + 2;
  for (let box = taken.find(hit); box && top > 34; box = taken.find(hit)) top = box.top - tall - 2;
  taken.push({ left, top, wide });
  pen.fillStyle = colour;
  pen.beginPath();
  pen.roundRect(left, top, wide, tall, 7);
  pen.fill();
  pen.fillStyle = isLight() ? "#ffffff" : "#0b0f14";
  pen.textAlign = "left";
  pen.textBaseline = "middle";
  pen.fillText(text, left + 7, top + tall / 2 + 1);
}

function label(person, joints) {
  const metres = distanceOf(person, joints);
  return metres === null ? `#${person.id}` : `#${person.id}  ${metres.toFixed(1)} m`;
}

// A bone is as sure as its less sure end; what was predicted is dashed.
function bones(person, meta) {
  const predicted = new Set(person.predicted ?? []);
  return meta.edges.map(([from, to]) => ({
    from,
    to,
    right: meta.joints[to].startsWith("right_"),
    face: /eye|ear|nose/.test(meta.joints[to]),
    faint: Math.min(person.kp[from][3], person.kp[to][3]) < SURE || predicted.has(from) || predicted.has(to),
  }));
}

// A hint of a trunk and a head, so that the eye sees somebody and not only lines.
function drawFlesh(pen, person, joints, points, colour, strength) {
  pen.fillStyle = colour;
  pen.globalAlpha = strength * 0.16;
  const trunk = ["left_shoulder", "right_shoulder", "right_hip", "left_hip"].map((name) => points[joints[name]]);
  if (trunk.every(Boolean)) {
    pen.beginPath();
    for (const corner of trunk) pen.lineTo(corner[0], corner[1]);
    pen.fill();
  }
  const neck = points[joints.neck], top = points[joints.head_top];
  if (neck && top) {
    const middle = [neck[0] + 0.58 * (top[0] - neck[0]), neck[1] + 0.58 * (top[1] - neck[1])];
    dot(pen, middle, 0.42 * Math.hypot(top[0] - neck[0], top[1] - neck[1]));
  }
}

function drawSkeleton(pen, person, meta, points, { thickness, live }) {
  const colour = paintOf(person.id, live);
  const ground = themed("panel");
  const strength = person.stale || !live ? 0.45 : 1;
  const predicted = new Set(person.predicted ?? []);
  drawFlesh(pen, person, jointsOf(meta), points, colour, strength);
  for (const bone of bones(person, meta)) {
    const a = points[bone.from], b = points[bone.to];
    if (!a || !b) continue;
    pen.globalAlpha = strength * (bone.faint ? FAINT : bone.right ? 0.72 : 1);
    pen.strokeStyle = colour;
    pen.lineWidth = bone.face ? thickness * 0.5 : thickness;
    pen.setLineDash(bone.faint ? [thickness * 1.6, thickness * 1.6] : []);
    line(pen, a, b);
  }
  pen.setLineDash([]);
  points.forEach((point, index) => {
    if (!point) return;
    const small = /eye|ear|heel|toe/.test(meta.joints[index]);
    const faint = person.kp[index][3] < SURE || predicted.has(index);
    pen.globalAlpha = strength * (faint ? FAINT : 1);
    pen.fillStyle = colour;
    dot(pen, point, thickness * (small ? 0.5 : 0.85));
    if (!small && !faint) {
      pen.fillStyle = ground;
      dot(pen, point, thickness * 0.38);
    }
  });
  pen.globalAlpha = 1;
}

export function drawPicture(canvas, { meta, size, persons, live }) {
  const { pen, width, height } = begin(canvas);
  const [frameWidth, frameHeight] = size;
  const room = 12, top = 34;
  const scale = Math.min((width - 2 * room) / frameWidth, (height - top - room) / frameHeight);
  const left = (width - scale * frameWidth) / 2;
  const up = top + (height - top - room - scale * frameHeight) / 2;
  const place = ([u, v]) => (u === null ? null : [left + (u + 0.5) * scale, up + (v + 0.5) * scale]);

  pen.strokeStyle = themed("grid");
  pen.lineWidth = 1;
  for (const part of [1, 2]) {
    const x = left + (frameWidth * scale * part) / 3, y = up + (frameHeight * scale * part) / 3;
    line(pen, [x, up], [x, up + frameHeight * scale]);
    line(pen, [left, y], [left + frameWidth * scale, y]);
  }
  pen.strokeStyle = themed("line");
  pen.strokeRect(left, up, frameWidth * scale, frameHeight * scale);

  pen.save();
  pen.beginPath();
  pen.rect(left, up, frameWidth * scale, frameHeight * scale);
  pen.clip();
  const joints = jointsOf(meta);
  for (const person of farFirst(persons, joints)) {
    const tall = (person.box[3] - person.box[1]) * scale;
    drawSkeleton(pen, person, meta, person.kp_px.map(place), { thickness: Math.min(Math.max(tall / 48, 2), 10), live });
  }
  const limits = { width, height, taken: [] };
  for (const person of farFirst(persons, joints)) {
    const [x0, y0, x1] = person.box;
    pen.globalAlpha = person.stale ? 0.5 : 1;
    const [x, y] = place([(x0 + x1) / 2, y0]);
    chip(pen, label(person, joints), [x, y - 10], paintOf(person.id, live), limits);
  }
  pen.restore();
}

const farFirst = (persons, joints) =>
  [...persons].sort((a, b) => (b.kp[joints.pelvis][2] ?? 0) - (a.kp[joints.pelvis][2] ?? 0));

// The stage is the part of the room in which people are: smoothed, so that the views do not jump.
export class Stage {
  constructor() {
    this.far = 5;
    this.side = 2;
    this.floor = 1.2;
    this.trails = new Map();
    this.settled = false;
  }

  follow(persons, joints, nowMs) {
    const seen = persons.filter((person) => person.kp[joints.pelvis][2] !== null);
    const all = seen.flatMap((person) => person.kp.filter((point) => point[2] !== null));
    if (all.length) {
      const soft = this.settled ? 0.04 : 1;
      const towards = (now, wanted) => now + soft * (wanted - now);
      this.far = towards(this.far, Math.max(3, ...all.map((point) => point[2] + 0.6)));
      this.side = towards(this.side, Math.max(1.5, ...all.map((point) => Math.abs(point[0]) + 0.4)));
      this.floor = towards(this.floor, Math.max(...all.map((point) => point[1])));
      this.settled = true;
    }
    for (const person of seen) {
      const [x, , z] = person.kp[joints.pelvis];
      const trail = this.trails.get(person.id) ?? [];
      trail.push({ x, z, nowMs });
      this.trails.set(person.id, trail.filter((step) => nowMs - step.nowMs < 4000));
    }
    for (const [id, trail] of this.trails) {
      if (nowMs - trail.at(-1).nowMs > 4000) this.trails.delete(id);
    }
  }
}

// A viewer that circles round the middle of the stage.
export class Orbit {
  constructor() { this.reset(); }

  reset() {
    this.yaw = -0.62;
    this.pitch = 0.34;
    this.zoom = 1;
  }

  turn(yaw, pitch) {
    this.yaw += yaw;
    this.pitch = Math.min(Math.max(this.pitch + pitch, -0.1), 1.5);
  }

  scale(factor) { this.zoom = Math.min(Math.max(this.zoom * factor, 0.4), 5); }

  // Gives the map from the room to the canvas that fills it with the stage.
  lens(stage, width, height) {
    const middle = [0, stage.floor - 0.8, stage.far * 0.5];
    const away = 2.6 * Math.max(stage.far * 0.5, stage.side) + 1;
    const [cy, sy] = [Math.cos(this.yaw), Math.sin(this.yaw)];
    const [cp, sp] = [Math.cos(this.pitch), Math.sin(this.pitch)];
    const project = ([px, py, pz]) => {
      if (px === null) return null;
      const x0 = px - middle[0], y0 = py - middle[1], z0 = pz - middle[2];
      const z1 = -x0 * sy + z0 * cy;
      const z = z1 * cp + y0 * sp + away;
      return z < 0.1 ? null : [(x0 * cy + z0 * sy) / z, (y0 * cp - z1 * sp) / z, 1 / z];
    };
    const corners = [-stage.side, stage.side].flatMap((x) =>
      [stage.floor, stage.floor - 1.9].flatMap((y) => [Math.min(1, stage.far / 3), stage.far].map((z) => project([x, y, z]))));
    const [xs, ys] = [0, 1].map((axis) => corners.filter(Boolean).map((corner) => corner[axis]));
    const [x0, x1, y0, y1] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
    const scale = this.zoom * Math.min((width - 24) / (x1 - x0), (height - 48) / (y1 - y0));
    const [left, top] = [width / 2 - (scale * (x0 + x1)) / 2, (height + 30) / 2 - (scale * (y0 + y1)) / 2];
    return (point) => {
      const seen = project(point);
      return seen && [left + scale * seen[0], top + scale * seen[1], scale * seen[2]];
    };
  }
}

// The camera's pyramid: where the corners of the picture are at some depth.
function pictureCorners(meta, depth) {
  const { fx, fy, cx, cy } = meta.intrinsics;
  const [width, height] = meta.size;
  return [[0, 0], [width, 0], [width, height], [0, height]].map(([u, v]) => [
    ((u - cx) / fx) * depth, ((v - cy) / fy) * depth, depth,
  ]);
}

export function drawSpace(canvas, { meta, persons, stage, orbit, live }) {
  const { pen, width, height } = begin(canvas);
  const see = orbit.lens(stage, width, height);
  const wide = Math.ceil(stage.side + 0.3), deep = Math.ceil(stage.far);
  const floorLine = (a, b) => {
    const from = see(a), to = see(b);
    if (from && to) line(pen, from, to);
  };
  pen.strokeStyle = themed("grid");
  pen.lineWidth = 1;
  for (let x = -wide; x <= wide; x++) floorLine([x, stage.floor, 0], [x, stage.floor, deep]);
  for (let z = 0; z <= deep; z++) floorLine([-wide, stage.floor, z], [wide, stage.floor, z]);

  pen.strokeStyle = themed("quiet");
  pen.lineWidth = 1.3;
  const eye = see([0, 0, 0]);
  const corners = pictureCorners(meta, 0.45).map(see);
  if (eye && corners.every(Boolean)) {
    corners.forEach((corner, index) => {
      line(pen, eye, corner);
      line(pen, corner, corners[(index + 1) % 4]);
    });
    pen.setLineDash([2, 5]);
    floorLine([0, 0, 0], [0, stage.floor, 0]);
    pen.setLineDash([]);
  }

  const joints = jointsOf(meta);
  const seen = persons.filter((person) => person.kp[joints.pelvis][2] !== null);
  pen.fillStyle = pen.strokeStyle = isLight() ? "#16202b" : "#000000";
  for (const person of seen) {
    // A shadow says where somebody stands.
    pen.globalAlpha = isLight() ? 0.13 : 0.5;
    for (const { from, to } of bones(person, meta)) {
      const a = person.kp[from], b = person.kp[to];
      const [p, q] = [see([a[0], stage.floor, a[2]]), see([b[0], stage.floor, b[2]])];
      if (p && q) {
        pen.lineWidth = p[2] * 0.06;
        line(pen, p, q);
      }
    }
  }
  pen.globalAlpha = 1;
  const limits = { width, height, taken: [] };
  const views = seen.map((person) => ({ person, points: person.kp.map(see) }));
  views.sort((a, b) => (a.points[joints.pelvis]?.[2] ?? 0) - (b.points[joints.pelvis]?.[2] ?? 0));
  for (const { person, points } of views) {
    const pelvis = points[joints.pelvis];
    if (!pelvis) continue;
    drawSkeleton(pen, person, meta, points, { thickness: Math.min(Math.max(pelvis[2] * 0.045, 2), 9), live });
  }
  for (const { person, points } of views) {
    const head = points[joints.head_top] ?? points[joints.pelvis];
    if (head) chip(pen, `#${person.id}`, [head[0], head[1] - 9], paintOf(person.id, live), limits);
  }
}

// Which way the body looks, from the line between the hips and the shoulders; null when unknown.
function headingOf(person, joints) {
  const pairs = [["left_hip", "right_hip"], ["left_shoulder", "right_shoulder"]];
  let x = 0, z = 0;
  for (const [left, right] of pairs) {
    const a = person.kp[joints[left]], b = person.kp[joints[right]];
    if (a[0] === null || b[0] === null) return null;
    x += a[0] - b[0];
    z += a[2] - b[2];
  }
  const size = Math.hypot(x, z);
  return size < 0.05 ? null : [z / size, -x / size];
}

export function drawFloor(canvas, { meta, persons, stage, live }) {
  const { pen, width, height } = begin(canvas);
  const deep = stage.far + 0.35;
  const scale = Math.min((height - 62) / deep, (width - 50) / (2 * (stage.side + 0.5)));
  const place = (x, z) => [width / 2 + x * scale, height - 26 - z * scale];
  const wide = Math.ceil(width / 2 / scale), top = Math.ceil((height - 26) / scale);

  pen.font = `500 13px ${FONT}`;
  pen.textBaseline = "middle";
  const every = scale < 26 ? 2 : 1;
  for (let x = -wide; x <= wide; x++) {
    pen.strokeStyle = themed(x === 0 ? "line" : "grid");
    line(pen, place(x, 0), place(x, top));
  }
  for (let z = 0; z <= top; z++) {
    pen.strokeStyle = themed("grid");
    line(pen, [0, place(0, z)[1]], [width, place(0, z)[1]]);
    const y = place(0, z)[1];
    if (z > 0 && z % every === 0 && y > 40) {
      pen.fillStyle = themed("quiet");
      pen.textAlign = "left";
      pen.fillText(`${z} m`, 9, y - 9);
    }
  }

  const { fx, cx } = meta.intrinsics;
  const [leftRay, rightRay] = [-cx / fx, (meta.size[0] - cx) / fx];
  pen.fillStyle = themed("accent");
  pen.globalAlpha = 0.08;
  pen.beginPath();
  for (const [x, z] of [[0, 0], [leftRay * top, top], [rightRay * top, top]]) pen.lineTo(...place(x, z));
  pen.fill();
  pen.globalAlpha = 1;
  pen.fillStyle = themed("accent");
  const [cameraX, cameraY] = place(0, 0);
  pen.beginPath();
  pen.moveTo(cameraX, cameraY + 3);
  pen.lineTo(cameraX - 9, cameraY + 17);
  pen.lineTo(cameraX + 9, cameraY + 17);
  pen.fill();

  const joints = jointsOf(meta);
  for (const [id, trail] of stage.trails) {
    pen.strokeStyle = paintOf(id, live);
    pen.lineWidth = 3;
    trail.slice(1).forEach((step, index) => {
      pen.globalAlpha = (0.5 * (index + 1)) / trail.length;
      line(pen, place(trail[index].x, trail[index].z), place(step.x, step.z));
    });
  }
  for (const person of farFirst(persons, joints)) {
    const [x, , z] = person.kp[joints.pelvis];
    if (x === null) continue;
    const at = place(x, z), colour = paintOf(person.id, live);
    pen.globalAlpha = person.stale ? 0.45 : 1;
    const heading = headingOf(person, joints);
    if (heading) {
      const angle = Math.atan2(-heading[1], heading[0]);
      pen.fillStyle = colour;
      pen.beginPath();
      pen.moveTo(at[0] + 19 * Math.cos(angle), at[1] + 19 * Math.sin(angle));
      for (const side of [0.75, -0.75]) {
        pen.lineTo(at[0] + 10 * Math.cos(angle + side), at[1] + 10 * Math.sin(angle + side));
      }
      pen.fill();
    }
    pen.fillStyle = colour;
    dot(pen, at, 10);
    pen.fillStyle = isLight() ? "#ffffff" : "#0b0f14";
    pen.font = `700 13px ${FONT}`;
    pen.textAlign = "center";
    pen.fillText(person.id, at[0], at[1] + 0.5);
    const metres = distanceOf(person, joints);
    pen.fillStyle = themed("text");
    pen.font = `600 15px ${FONT}`;
    const right = at[0] > width - 90;
    pen.textAlign = right ? "right" : "left";
    pen.fillText(`${metres.toFixed(1)} m`, at[0] + (right ? -22 : 22), at[1]);
    pen.globalAlpha = 1;
  }
}
