// From published messages to the page: keeps the state of every camera, shows the chosen one.
// A message comes with its topic below the root: <device>/status or <device>/<camera>/<leaf>.

import { Orbit, Stage, colourOf, distanceOf, drawFloor, drawPicture, drawSpace, isLight, jointsOf } from "./views.js";

const SILENT_MS = 2000; // without a frame for so long, the page says so

const $ = (id) => document.getElementById(id);
const cameras = new Map(); // "device/camera" → what is known of it
const devices = new Map(); // "device" → "online" or "offline"
const orbit = new Orbit();
let broker = { up: false, reason: "no answer yet", url: "" };
let serverUp = false;
let chosen = null;
let dirty = true;
let frames = 0;

function cameraAt(device, name) {
  const key = `${device}/${name}`;
  if (!cameras.has(key)) {
    cameras.set(key, { key, device, name, status: null, meta: null, frame: null, stats: null, arrivals: [], stage: new Stage() });
    chosen ??= key;
    showCameras();
  }
  return cameras.get(key);
}

function take({ path, payload }) {
  const [device, name, leaf] = path.split("/");
  if (leaf === undefined) {
    if (name === "status") devices.set(device, payload);
    return;
  }
  const camera = cameraAt(device, name);
  if (leaf === "status") camera.status = payload;
  if (leaf === "meta") camera.meta = JSON.parse(payload);
  if (leaf === "stats") camera.stats = JSON.parse(payload);
  if (leaf === "pose") {
    const nowMs = performance.now();
    camera.frame = JSON.parse(payload);
    camera.arrivals = [...camera.arrivals, nowMs].filter((then) => nowMs - then < 1000);
    camera.arrivedMs = nowMs;
    if (camera.meta) camera.stage.follow(camera.frame.persons, jointsOf(camera.meta), nowMs);
    frames += 1;
  }
}

// What can be said of the camera now: a word, how good it is, and a sentence when it is not live.
function stateOf(camera, nowMs) {
  if (!serverUp) return ["page cut off", "bad", "edge-pose on this machine has stopped; waiting for it"];
  if (!broker.up) return ["unknown", "bad", `The broker ${broker.url} is away: ${broker.reason}`];
  if (!camera) return ["no camera", "wait", "Nothing has been published yet"];
  if (devices.get(camera.device) === "offline") return ["offline", "bad", `The device ${camera.device} is offline`];
  if (camera.status === "offline") return ["offline", "bad", "The camera is offline; waiting for it to come back"];
  if (camera.status === "stale") return ["stale", "warn", "The camera is connected but sends no pictures"];
  if (camera.status === "paused") return ["paused", "warn", "Paused"];
  if (!camera.frame) return ["waiting", "wait", "Waiting for the first frame"];
  const silentMs = nowMs - camera.arrivedMs;
  if (silentMs > SILENT_MS) return ["silent", "warn", `No frame for ${Math.round(silentMs / 1000)} s`];
  return ["online", "good", null];
}

function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function mark(element, text, state) {
  say(element, text);
  element.dataset.state = state;
}

function showCameras() {
  const several = cameras.size > 1;
  $("cameras").replaceChildren(...(several ? [...cameras.values()] : []).map((camera) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = `${camera.device} · ${camera.name}`;
    button.setAttribute("aria-pressed", camera.key === chosen);
    button.onclick = () => choose(camera.key);
    return button;
  }));
}

function choose(key) {
  chosen = key;
  showCameras();
  show();
}

const number = (value, digits) => (value === undefined || value === null ? "–" : value.toFixed(digits));

function showFigures(camera, live) {
  const { frame, stats, meta } = camera;
  const counted = camera.arrivals.length;
  say($("people"), live ? String(frame.persons.length) : "–");
  say($("fps"), live ? number(stats?.fps ?? counted, 1) : "–");
  say($("latency"), live ? number(frame.lat_ms.total ?? frame.lat_ms.infer, 0) : "–");
  say($("dropped"), stats ? String(stats.skipped + stats.unsent) : "–");
  $("dropped").title = stats ? `${stats.skipped} frames skipped by the camera, ${stats.unsent} not sent` : "";
  say($("engine"), meta?.engine ?? "–");
  say($("model"), meta ? `${meta.model.name} ${meta.model.version} · ${meta.model.sha256.slice(0, 8)}` : "");
  const size = frame?.size ?? meta?.size;
  say($("size"), size ? `${camera.name} · ${size[0]} × ${size[1]}` : camera.name);
  $("lens").hidden = !meta;
  if (meta) {
    const { assumed } = meta.intrinsics;
    mark($("lens"), assumed ? "assumed lens" : "calibrated lens", assumed ? "warn" : "good");
    $("lens").title = assumed ? "Nobody measured the focal length: distances are off by a common factor" : "";
  }
}

function personItem(id) {
  const item = document.createElement("li");
  item.dataset.id = id;
  item.innerHTML = '<div class="name"><b></b><span></span></div><div class="distance"><b></b><small>m</small></div><meter min="0" max="1"></meter>';
  return item;
}

function showPersons(camera) {
  const list = $("persons");
  const joints = jointsOf(camera.meta);
  const persons = [...camera.frame.persons].sort((a, b) => a.id - b.id);
  const items = new Map([...list.children].map((item) => [item.dataset.id, item]));
  const wanted = persons.map((person) => {
    const item = items.get(String(person.id)) ?? personItem(person.id);
    const metres = distanceOf(person, joints);
    const guessed = person.predicted?.length ?? 0;
    item.style.setProperty("--person", colourOf(person.id));
    say(item.querySelector(".name b"), `#${person.id}`);
    say(item.querySelector(".name span"), person.stale ? "not seen now" : guessed ? `${guessed} guessed` : `score ${person.score.toFixed(2)}`);
    say(item.querySelector(".distance b"), metres === null ? "–" : metres.toFixed(2));
    item.querySelector("meter").value = person.score;
    item.querySelector("meter").setAttribute("aria-label", `score ${person.score.toFixed(2)}`);
    return item;
  });
  if (!wanted.length) {
    const nobody = items.get("nobody") ?? document.createElement("li");
    nobody.className = "nobody";
    nobody.dataset.id = "nobody";
    say(nobody, "nobody in the picture");
    wanted.push(nobody);
  }
  const same = wanted.length === list.children.length && wanted.every((item, index) => item === list.children[index]);
  if (!same) list.replaceChildren(...wanted);
}

function show() {
  dirty = true;
}

function draw() {
  requestAnimationFrame(draw);
  const nowMs = performance.now();
  const camera = cameras.get(chosen);
  const [word, state, sentence] = stateOf(camera, nowMs);
  const live = sentence === null;
  if (!dirty && document.body.dataset.live === (live ? "yes" : "no") && $("notice").textContent === (sentence ?? "")) return;
  dirty = false;
  document.body.dataset.live = live ? "yes" : "no";
  mark($("broker"), broker.up ? "broker connected" : "broker away", broker.up ? "good" : "bad");
  $("broker").title = broker.url;
  mark($("camera"), `camera ${word}`, state);
  say($("notice"), sentence ?? "");
  $("notice").hidden = live;
  if (!camera) return;
  showFigures(camera, live && camera.frame !== null);
  if (!camera.meta || !camera.frame) return;
  showPersons(camera);
  const { meta, stage, frame } = camera;
  const scene = { meta, stage, orbit, live, persons: frame.persons, size: frame.size };
  drawPicture($("picture"), scene);
  drawSpace($("space"), scene);
  drawFloor($("floor"), scene);
  document.body.dataset.frames = frames;
}

function listen() {
  const events = new EventSource("events");
  events.onopen = () => { serverUp = true; show(); };
  events.onerror = () => { serverUp = false; show(); };
  events.addEventListener("broker", (event) => { broker = JSON.parse(event.data); show(); });
  events.addEventListener("message", (event) => { take(JSON.parse(event.data)); show(); });
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  localStorage.setItem("theme", theme);
  show();
}

const TURN = 0.09;
const KEYS = {
  ArrowLeft: () => orbit.turn(TURN, 0),
  ArrowRight: () => orbit.turn(-TURN, 0),
  ArrowUp: () => orbit.turn(0, TURN),
  ArrowDown: () => orbit.turn(0, -TURN),
  "+": () => orbit.scale(1.15),
  "-": () => orbit.scale(1 / 1.15),
  0: () => orbit.reset(),
  t: () => setTheme(isLight() ? "dark" : "light"),
};

function handleInput() {
  const space = $("space");
  space.addEventListener("pointerdown", (event) => space.setPointerCapture(event.pointerId));
  space.addEventListener("pointermove", (event) => {
    if (!event.buttons) return;
    orbit.turn(-event.movementX * 0.008, event.movementY * 0.008);
    show();
  });
  space.addEventListener("wheel", (event) => {
    event.preventDefault();
    orbit.scale(Math.exp(-event.deltaY * 0.0012));
    show();
  }, { passive: false });
  space.addEventListener("dblclick", () => { orbit.reset(); show(); });
  document.addEventListener("keydown", (event) => {
    const act = KEYS[event.key];
    if (!act || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    act();
    show();
  });
  $("theme").onclick = KEYS.t;
  new ResizeObserver(show).observe(document.body);
}

setTheme(localStorage.getItem("theme") ?? (matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark"));
handleInput();
listen();
draw();
