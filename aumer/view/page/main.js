// The page: what is where, what the keys do, and what goes to the server.

import { Player, asked, picture } from "/assets/player.js";
import { Sheet } from "/assets/sheet.js";
import { Curves, NUMBERS } from "/assets/curves.js";
import { Timeline, clock } from "/assets/timeline.js";

const $ = (id) => document.getElementById(id);
const SPEEDS = [0.1, 0.25, 0.5, 1, 1.5, 2];
const CHUNK = 512;
const PARTS = ["onset", "apex", "offset"];

let session = null;
let number = 0; // of the video
let about = null;
let base = "";
let times = new Float64Array(1);
let groups = [];
let player = null;
let sheet = null;
let selected = null;
let begun = ""; // the set of intervals that was begun with
let revision = null;
let preview = null; // what another sensitivity finds
let tracks = new Map();
let flickering = null;

const timeline = new Timeline($("timeline"), {
  seek: (k) => player.show(k),
  select,
  drag: (id, part, frame) => {
    sheet.preview(id, part, frame);
    const e = sheet.get(id);
    player.show(part === "all" ? e.onset : e[part]);
  },
  dropped: () => sheet.drop(),
  drawn: ({ range, left, times, frame }) => {
    curves.look(range, left);
    curves.at(times[frame]);
  },
});
const curves = new Curves($("plot"), $("legend"));
timeline.listen($("plot"));

// -- talking with the server ------------------------------------------------------------------

async function get(path) {
  const answer = await asked(path);
  if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).error ?? answer.statusText);
  return answer;
}

async function post(path, body) {
  const answer = await asked(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  if (answer.ok || answer.status === 409) return answer;
  throw new Error((await answer.json().catch(() => ({}))).error ?? answer.statusText);
}

function tell(text) {
  $("status").textContent = text;
}

function complain(error) {
  $("notice").textContent = error.message ?? String(error);
  $("notice").hidden = false;
}

function calm() {
  $("notice").hidden = true;
}

function ask(text) {
  $("asktext").textContent = text;
  const dialog = $("ask");
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

// -- a video ----------------------------------------------------------------------------------

async function start() {
  session = await (await get("/api/session")).json();
  for (const [k, video] of session.videos.entries()) option($("video"), String(k), video.name);
  for (const suffix of session.exports) option($("export"), suffix, suffix);
  for (const speed of SPEEDS) option($("speed"), String(speed), `${speed}×`);
  $("speed").value = "1";
  $("which").hidden = session.videos.length < 2;
  await open(0);
}

async function open(k) {
  player?.close();
  calm();
  stopFlicker();
  number = k;
  about = session.videos[k];
  base = `/api/${k}`;
  document.title = `${about.name} – aumer view`;
  $("title").textContent = session.videos.length < 2 ? about.name : "aumer view";
  tracks = new Map();
  preview = null;
  ({ times, groups } = parts(await (await get(`${base}/data`)).arrayBuffer()));
  player = new Player($("frame"), base, about, times, {
    frame: atFrame,
    drawn: drawOverlay,
    playing: (on) => {
      $("play").setAttribute("aria-label", on ? "Pause" : "Play");
      $("play").setAttribute("aria-pressed", String(on));
    },
    source: (why) => {
      $("source").textContent = why;
    },
    error: complain,
  });
  $("source").textContent = player.why;
  player.setSpeed(Number($("speed").value));
  $("overlay").width = about.width;
  $("overlay").height = about.height;
  $("screen").style.aspectRatio = `${about.width} / ${about.height}`;
  $("screen").style.setProperty("--ratio", String(about.width / about.height));
  $("number").max = String(about.count - 1);
  for (const name of ["onset", "apex", "offset"]) $(name).max = String(about.count - 1);
  timeline.video(times);
  listBases();
  if (about.notes.length) complain(new Error(about.notes.join("\n")));
  await choose();
  listCurves();
  listCoders();
  dial();
  const first = sheet.items[0];
  select(first?.id ?? null);
  await player.show(first ? first.onset : 0);
}

function parts(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const from = 4 + length;
  const array = (Kind, { at, count }) => new Kind(buffer, from + at, count);
  return {
    times: array(Float64Array, head.times),
    groups: head.groups.map((g) => ({
      ...g,
      times: array(Float64Array, g.times),
      curves: g.curves.map((c) => ({ name: c.name, values: array(Float32Array, c.values) })),
    })),
  };
}

function listBases() {
  $("base").replaceChildren();
  for (const layer of about.layers) {
    option($("base"), layer.id, `from ${layer.name}${layer.changed ? " (of another edition)" : ""}`);
  }
  option($("base"), "", "from nothing");
}

// What is begun with: a coder's own file where there is one, else the result.
async function choose() {
  const draft = about.draft;
  const own = about.layers.find((one) => one.source === "annotations");
  const first = about.layers.find((one) => one.id === draft?.base) ?? own ?? about.layers[0];
  await begin(first && draft?.base !== "" ? first.id : "");
  if (draft) await restore(draft);
}

async function begin(id) {
  let layer = about.layers.find((one) => one.id === id) ?? null;
  if (layer?.changed && !layer.accepted) {
    const name = layer.file ?? layer.name;
    layer.accepted = await ask(
      `${name} was made for another edition of this video, or another video: the file was changed or encoded anew since, or is of another length. ` +
        "Shall its times be applied to this one? Each goes to the frame that is nearest.",
    );
    if (!layer.accepted) layer = null;
  }
  begun = layer?.id ?? "";
  revision = layer?.revision ?? null;
  $("base").value = begun;
  if (layer?.coder) $("coder").value = layer.coder;
  sheet = new Sheet(layer?.expressions ?? [], about.count);
  sheet.onChange(changed);
  selected = null;
  changed();
}

function lanes() {
  const own = { name: "in hand", items: sheet.items };
  // What was begun with stays in sight, too: it says what was changed.
  const others = about.layers
    .filter((one) => !one.changed || one.accepted)
    .map((one) => ({ name: one.name, items: one.expressions }));
  if (preview) others.push({ name: `at ${rate(preview.alarms)} a minute`, items: preview.expressions });
  return [own, ...others];
}

function changed() {
  if (selected && !sheet.get(selected)) selected = null;
  timeline.lanes = lanes();
  const rows = timeline.lanes.length;
  $("time").style.setProperty("--lanes", String(rows));
  timeline.selected = selected;
  timeline.redraw(true);
  $("undo").disabled = !sheet.past.length;
  $("redo").disabled = !sheet.future.length;
  $("save").classList.toggle("due", sheet.dirty);
  draft();
  drawList();
  drawEditor();
  drawCrops();
}

function select(id) {
  selected = id;
  timeline.selected = id;
  timeline.redraw(true);
  loop();
  drawList();
  drawEditor();
  drawCrops();
}

// -- what is not saved yet ---------------------------------------------------------------------

// It is kept by the server, a moment after each change, lest a page that is closed take it along.
let drafting = 0;
let drafted = false; // the server has one

function draft() {
  clearTimeout(drafting);
  drafting = sheet.dirty || drafted ? setTimeout(sendDraft, 400) : 0;
}

// `leaving`: the page may be gone before the answer.
async function sendDraft(leaving = false) {
  clearTimeout(drafting);
  drafting = 0;
  const due = sheet.dirty;
  const body = { coder: $("coder").value.trim(), base: begun, expressions: due ? sheet.items : null };
  drafted = due;
  about.draft = null; // what was restored is in hand
  try {
    await fetch(`${base}/draft`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
      keepalive: leaving,
    });
  } catch {
    // A server that ended is said by whatever needs it; there is nothing to be done about a draft.
  }
}

async function forget() {
  sheet.keep(sheet.items);
  if (drafted) await sendDraft();
}

async function restore(kept) {
  const when = new Date(1000 * kept.when).toLocaleString();
  const whose = kept.coder ? `${kept.coder}'s work` : "Work";
  if (kept.changed) {
    const text = `${whose} of ${when} was not saved, and was made for another edition of this video. Shall its times be applied to this one? Each goes to the frame that is nearest.`;
    if (!(await ask(text))) return;
  }
  drafted = true;
  if (kept.coder) $("coder").value = kept.coder;
  sheet.put(kept.expressions);
  complain(new Error(`${whose} of ${when} was not saved and is here again. Save it (Ctrl+S), or undo (Ctrl+Z) to leave it.`));
}

// -- frame by frame ---------------------------------------------------------------------------

function atFrame(k) {
  timeline.at(k);
  if (document.activeElement !== $("number")) $("number").value = String(k);
  $("clock").textContent = `${clock(times[k])} of ${clock(times[times.length - 1])}`;
  $("frame").setAttribute("aria-label", `Video frame ${k}, at ${clock(times[k])}`);
}

function tracked() {
  const mine = about.layers.find((one) => one.id === begun && one.track);
  return mine ?? about.layers.find((one) => one.track) ?? null;
}

async function trackAt(k) {
  const layer = tracked();
  if (!layer) return null;
  const chunk = Math.floor(k / CHUNK);
  const key = `${layer.id} ${chunk}`;
  if (!tracks.has(key)) {
    // A few frames more on both sides: not every frame need be analyzed.
    const first = Math.max(0, chunk * CHUNK - 16);
    const url = `${base}/track?layer=${layer.id}&first=${first}&after=${(chunk + 1) * CHUNK + 16}`;
    tracks.set(key, get(url).then((answer) => answer.json()));
    if (tracks.size > 16) tracks.delete(tracks.keys().next().value);
  }
  const found = await tracks.get(key);
  let best = -1;
  for (let i = 0; i < found.frames.length; i++) {
    if (best < 0 || Math.abs(found.frames[i] - k) < Math.abs(found.frames[best] - k)) best = i;
  }
  if (best < 0 || Math.abs(times[found.frames[best]] - times[k]) > 0.02) return null;
  return { box: found.boxes[best], marks: found.landmarks[best] };
}

async function drawOverlay(k) {
  const canvas = $("overlay");
  const c = canvas.getContext("2d");
  const found = await trackAt(k).catch(() => null);
  if ($("frame").dataset.frame !== String(k)) return; // another one by now
  const box = $("showbox").checked;
  const marks = $("showmarks").checked;
  c.clearRect(0, 0, canvas.width, canvas.height);
  canvas.dataset.frame = String(k);
  canvas.dataset.face = found ? "yes" : "no";
  if (!found) return;
  const unit = Math.max(1, canvas.width / 500);
  if (box) {
    const [x0, y0, x1, y1] = found.box;
    c.lineWidth = 3.5 * unit;
    c.strokeStyle = "#00000080";
    c.strokeRect(x0, y0, x1 - x0, y1 - y0);
    c.lineWidth = 1.5 * unit;
    c.strokeStyle = "#ffffff";
    c.strokeRect(x0, y0, x1 - x0, y1 - y0);
  }
  if (marks) {
    for (let i = 0; i < found.marks.length; i += 2) {
      c.beginPath();
      c.arc(found.marks[i], found.marks[i + 1], 1.6 * unit, 0, 7);
      c.fillStyle = "#00e5ff";
      c.fill();
      c.lineWidth = 0.5 * unit;
      c.strokeStyle = "#003740";
      c.stroke();
    }
  }
}

function step(by) {
  player.show(player.frame + by);
}

function jump(by) {
  const items = sheet.items;
  if (!items.length) return;
  const here = items.findIndex((e) => e.id === selected);
  let k;
  if (here >= 0) k = here + by;
  // One that begins at this very frame is the nearest either way: at frame 0 nothing else leads to it.
  else if (by > 0) k = items.findIndex((e) => e.onset >= player.frame);
  else k = items.findLastIndex((e) => e.onset <= player.frame);
  if (k < 0 || k >= items.length) return;
  go(items[k].id);
}

function go(id) {
  const e = sheet.get(id);
  select(id);
  timeline.see(e.onset, e.offset);
  player.show(e.onset);
}

function loop() {
  const e = selected ? sheet.get(selected) : null;
  player.range = $("loop").checked && e ? [e.onset, Math.max(e.offset, e.onset + 1)] : null;
}

// -- the list and the editor ------------------------------------------------------------------

function drawList() {
  const list = $("list");
  const rows = sheet.items.map((e) => {
    const row = document.createElement("div");
    row.setAttribute("role", "option");
    row.setAttribute("aria-selected", String(e.id === selected));
    row.id = `row-${e.id}`;
    const kind = document.createElement("span");
    kind.className = `kind ${e.kind}`;
    kind.textContent = e.kind;
    const time = document.createElement("span");
    const long = times[e.offset] - times[e.onset];
    time.textContent = `${clock(times[e.onset])} – ${clock(times[e.offset])} (${long.toFixed(2)} s)`;
    const text = document.createElement("span");
    text.className = "what";
    text.textContent = e.label || "";
    const more = document.createElement("span"); // never cut off
    more.textContent = [e.score === null ? "" : e.score.toFixed(2), e.comment ? "✎" : ""].filter(Boolean).join(" ");
    const sure = document.createElement("span");
    sure.textContent = e.confirmed ? "✓" : "";
    if (e.confirmed) sure.setAttribute("aria-label", "confirmed");
    row.append(kind, time, text, more, sure);
    row.addEventListener("click", () => go(e.id));
    return row;
  });
  if (!rows.length) {
    const none = document.createElement("p");
    none.className = "quiet";
    none.textContent = "No expression. Go to a frame and press m, or Add.";
    rows.push(none);
  }
  list.replaceChildren(...rows);
  if (selected) {
    list.setAttribute("aria-activedescendant", `row-${selected}`);
    const row = document.getElementById(`row-${selected}`);
    if (row) {
      if (row.offsetTop < list.scrollTop) list.scrollTop = row.offsetTop;
      const below = row.offsetTop + row.offsetHeight - list.clientHeight;
      if (below > list.scrollTop) list.scrollTop = below;
    }
  } else list.removeAttribute("aria-activedescendant");
}

function drawEditor() {
  const e = selected ? sheet.get(selected) : null;
  $("editor").hidden = !e;
  if (!e) return;
  const set = (id, value) => {
    if (document.activeElement !== $(id)) $(id).value = value;
  };
  $("kind").value = e.kind;
  set("label", e.label ?? "");
  set("comment", e.comment);
  $("confirmed").checked = e.confirmed;
  for (const part of PARTS) set(part, e[part] === null ? "" : String(e[part]));
  const units = e.aus ? `, AU ${e.aus}` : ""; // as the result has them
  $("lasts").textContent = `${(times[e.offset] - times[e.onset]).toFixed(3)} s${units}`;
  const labels = new Set(["negative", "positive", "surprise", "others"]);
  for (const one of sheet.items) if (one.label) labels.add(one.label);
  if ($("labels").childElementCount !== labels.size) {
    $("labels").replaceChildren();
    for (const label of labels) option($("labels"), label, label);
  }
}

function add(kind) {
  const k = player.frame;
  // As long as is usual of its kind, from the frame that is shown.
  const long = kind === "micro" ? 0.3 : 1;
  let offset = k;
  while (offset + 1 < times.length && times[offset + 1] - times[k] <= long) offset++;
  let apex = k;
  while (apex + 1 <= offset && times[apex + 1] - times[k] <= 0.4 * long) apex++;
  select(sheet.add({ kind, onset: k, apex, offset }));
  changed();
  tell(`added a ${kind}-expression at frame ${k}`);
}

function remove() {
  if (!selected) return;
  const k = sheet.items.findIndex((e) => e.id === selected);
  sheet.remove(selected);
  select(sheet.items[Math.min(k, sheet.items.length - 1)]?.id ?? null);
  tell("deleted; Ctrl+Z brings it back");
}

function edit(changes) {
  if (selected) sheet.change(selected, changes);
}

function set(part) {
  if (selected) sheet.move(selected, part, player.frame);
  else tell("select an expression first: n, or p");
}

// -- faces ------------------------------------------------------------------------------------

let cropping = 0;
let timer = 0;

function drawCrops() {
  clearTimeout(timer);
  timer = setTimeout(crops, 120);
}

async function crops() {
  const e = selected ? sheet.get(selected) : null;
  const mine = ++cropping;
  stopFlicker();
  $("crops").hidden = !e;
  if (!e || $("faces").hidden) return;
  const layer = tracked();
  const alpha = $("alpha").value;
  const images = {};
  await Promise.all(
    PARTS.map(async (part) => {
      if (e[part] === null) return;
      const who = layer ? `&layer=${layer.id}` : "";
      const url = `${base}/face/${e[part]}.png?size=256&at=${e.onset}&alpha=${alpha}${who}`;
      try {
        images[part] = await picture(url);
      } catch (error) {
        if (mine === cropping) complain(error);
      }
    }),
  );
  if (mine !== cropping) return;
  for (const part of PARTS) paint(part, images[part], e[part]);
  if ($("flicker").checked && images.onset && images.apex) {
    let on = false;
    flickering = setInterval(() => {
      on = !on;
      paint("apex", on ? images.onset : images.apex, on ? e.onset : e.apex);
    }, 350);
  }
}

function paint(part, image, frame) {
  const canvas = $(`crop-${part}`);
  const c = canvas.getContext("2d");
  c.clearRect(0, 0, canvas.width, canvas.height);
  if (image) c.drawImage(image, 0, 0, canvas.width, canvas.height);
  canvas.dataset.frame = frame === null || !image ? "" : String(frame);
}

function stopFlicker() {
  clearInterval(flickering);
  flickering = null;
}

// -- sensitivity ------------------------------------------------------------------------------

function dialled() {
  return about.layers.find((one) => one.alarms) ?? null;
}

function rate(alarms) {
  return alarms[1] < 0.1 ? alarms[1].toFixed(3) : alarms[1].toPrecision(2);
}

function dial() {
  const layer = dialled();
  $("dial").hidden = !layer;
  $("nodial").textContent = layer
    ? ""
    : "The motion of this video is not kept here, or its spotter has no sensitivity, or is another one by now: open the video itself (aumer view VIDEO).";
  if (!layer) return;
  const [least, now, most] = layer.alarms;
  $("alarms").value = String((100 * Math.log(now / least)) / Math.log(most / least));
  tellExpected(layer.alarms, layer.expressions);
  $("take").disabled = $("drop").disabled = true;
}

function tellExpected(alarms, expressions) {
  $("expected").textContent = rate(alarms);
  const micro = expressions.filter((e) => e.kind === "micro").length;
  $("found").textContent = `${micro} micro, ${expressions.length - micro} macro`;
  $("alarms").setAttribute("aria-valuetext", `${rate(alarms)} a minute`);
}

// One request at a time: while one is under way, the slider may move on.
let turning = false;
async function turn() {
  if (turning) return;
  turning = true;
  const mine = about;
  const layer = dialled();
  const [least, , most] = layer.alarms;
  try {
    for (let asked = null; asked !== $("alarms").value; ) {
      asked = $("alarms").value;
      const rate = least * Math.pow(most / least, Number(asked) / 100);
      const answer = await post(`${base}/again`, { layer: layer.id, sensitivity: Number(rate.toPrecision(6)) });
      const found = await answer.json();
      if (mine !== about) return;
      preview = found;
      tellExpected(found.alarms, found.expressions);
      $("take").disabled = $("drop").disabled = false;
      changed();
    }
  } catch (error) {
    complain(error);
  } finally {
    turning = false;
  }
}

// -- agreement --------------------------------------------------------------------------------

function listCoders() {
  for (const [id, place] of [["first", 0], ["second", 1]]) {
    $(id).replaceChildren();
    const usable = about.layers.filter((one) => !one.changed || one.accepted);
    for (const layer of usable) option($(id), layer.id, layer.name);
    $(id).selectedIndex = Math.min(place, usable.length - 1);
  }
  compare();
}

async function compare() {
  const [a, b] = [$("first").value, $("second").value];
  if (!a || !b || a === b) {
    $("agreed").textContent = "Two sets of intervals are needed: give two coders' files, or save one.";
    return;
  }
  if ($("agreement").hidden) return;
  try {
    const found = await (await get(`${base}/agreement?a=${a}&b=${b}`)).json();
    const table = document.createElement("table");
    table.className = "numbers";
    const row = (tag, cells) => {
      const tr = table.insertRow();
      for (const [k, text] of cells.entries()) {
        const cell = document.createElement(k === 0 ? "th" : tag);
        cell.textContent = text;
        tr.append(cell);
      }
    };
    row("th", ["", "κ per frame", "F1", "both", "first alone", "second alone", "onsets apart", "offsets apart"]);
    for (const [name, one] of Object.entries(found)) {
      const ms = (d) => (d.mean_abs === null ? "–" : `${Math.round(1000 * d.mean_abs)} ms`);
      const kappa = one.kappa === null ? "–" : one.kappa.toFixed(2);
      const f1 = one.tp + one.fp + one.fn ? one.f1.toFixed(2) : "–"; // neither has any
      row("td", [name, kappa, f1, one.tp, one.fn, one.fp, ms(one.onset_s), ms(one.offset_s)]);
    }
    const note = document.createElement("p");
    note.className = "quiet";
    note.textContent = "Of what is saved. Intervals are of one expression from an overlap (IoU) of .5 on; how far apart is in the mean.";
    const wide = document.createElement("div");
    wide.className = "wide";
    wide.append(table);
    $("agreed").replaceChildren(wide, note);
  } catch (error) {
    complain(error);
  }
}

// -- curves -----------------------------------------------------------------------------------

function listCurves() {
  const box = $("curves");
  box.replaceChildren();
  groups.forEach((group, k) => {
    const layer = about.layers.find((one) => one.id === group.layer);
    option(box, String(k), about.layers.filter((one) => one.source === "result").length > 1 ? `${group.title}, ${layer.name}` : group.title);
  });
  option(box, "", "no curves");
  box.value = groups.length ? "0" : "";
  showCurves();
}

function showCurves() {
  const k = $("curves").value;
  curves.show(k === "" ? null : groups[Number(k)]);
  timeline.room = k === "" ? 0 : NUMBERS;
  timeline.redraw(true);
}

// -- saving -----------------------------------------------------------------------------------

// One at a time: a second one, of a key held down, would find the file changed by the first.
let saving = false;
async function save() {
  if (saving) return;
  saving = true;
  try {
    await keep(false);
  } finally {
    saving = false;
  }
}

async function keep(replacing) {
  calm();
  const mine = about;
  const coder = $("coder").value.trim();
  if (!coder) {
    complain(new Error("Who are you? A coder's name stands in the file: enter it beside “Coder”."));
    $("coder").focus();
    return;
  }
  const items = sheet.items;
  try {
    const answer = await post(`${base}/save`, {
      coder,
      base: begun,
      revision,
      replace: replacing,
      expressions: items,
    });
    const saved = await answer.json();
    if (answer.status === 409) {
      if (await ask(`${saved.conflict}. Save over it?`)) await keep(true);
      return;
    }
    if (mine !== about) return; // another video is shown by now
    const k = about.layers.findIndex((one) => one.id === saved.id);
    if (k >= 0) about.layers[k] = saved;
    else about.layers.push(saved);
    begun = saved.id;
    revision = saved.revision;
    listBases();
    $("base").value = begun;
    sheet.keep(items);
    listCoders();
    tell(`saved ${saved.file}, ${saved.history} change${saved.history === 1 ? "" : "s"} in its history`);
  } catch (error) {
    complain(error);
  }
}

async function exported(suffix) {
  try {
    const answer = await post(`${base}/export`, { suffix, expressions: sheet.items });
    const name = decodeURIComponent(answer.headers.get("content-disposition").split("''")[1]);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await answer.blob());
    link.download = name;
    link.click();
    URL.revokeObjectURL(link.href);
    tell(`${name} is with your downloads; put it beside the video`);
  } catch (error) {
    complain(error);
  }
}

// -- keys -------------------------------------------------------------------------------------

const KEYS = [
  ["Space", "play or pause", () => player.toggle()],
  ["ArrowLeft", "one frame back (Shift: 10)", (e) => step(e.shiftKey ? -10 : -1), "←"],
  ["ArrowRight", "one frame on (Shift: 10)", (e) => step(e.shiftKey ? 10 : 1), "→"],
  ["Home", "first frame", () => player.show(0)],
  ["End", "last frame", () => player.show(about.count - 1)],
  ["n", "next interval", () => jump(1)],
  ["p", "previous interval", () => jump(-1)],
  ["1", "to its onset", () => toPart("onset")],
  ["2", "to its apex", () => toPart("apex")],
  ["3", "to its offset", () => toPart("offset")],
  ["i", "put its onset at this frame", () => set("onset")],
  ["a", "put its apex at this frame", () => set("apex")],
  ["o", "put its offset at this frame", () => set("offset")],
  ["m", "add a micro-expression here", () => add("micro")],
  ["M", "add a macro-expression here", () => add("macro")],
  ["k", "change its kind", () => selected && edit({ kind: sheet.get(selected).kind === "micro" ? "macro" : "micro" })],
  ["c", "confirm it, or not", () => selected && edit({ confirmed: !sheet.get(selected).confirmed })],
  ["r", "write its label", () => selected && $("label").focus()],
  ["t", "write a comment", () => selected && $("comment").focus()],
  ["Delete", "delete it", remove],
  ["l", "loop it, or not", () => flip("loop")],
  [",", "slower", () => faster(-1)],
  [".", "faster", () => faster(1)],
  ["+", "zoom in", () => timeline.zoom(0.5)],
  ["-", "zoom out", () => timeline.zoom(2)],
  ["0", "whole video", () => timeline.whole()],
  ["f", "flicker between onset and apex", () => flip("flicker")],
  ["g", "magnify motion more, or not", () => turnOn($("alpha"))],
  ["b", "face box and landmarks, or not", () => { flip("showbox"); $("showmarks").checked = $("showbox").checked; drawOverlay(player.frame); }],
  ["?", "this help", () => help()],
];
const CONTROLLED = [
  ["Ctrl+S", "save"],
  ["Ctrl+Z", "undo"],
  ["Ctrl+Shift+Z, Ctrl+Y", "redo"],
  ["Enter, Esc", "leave a field"],
];

function toPart(part) {
  const e = selected ? sheet.get(selected) : null;
  if (e && e[part] !== null) player.show(e[part]);
}

function flip(id) {
  $(id).checked = !$(id).checked;
  $(id).dispatchEvent(new Event("change"));
}

function turnOn(box) {
  box.selectedIndex = (box.selectedIndex + 1) % box.options.length;
  box.dispatchEvent(new Event("change"));
}

function faster(by) {
  const k = SPEEDS.indexOf(Number($("speed").value)) + by;
  if (k < 0 || k >= SPEEDS.length) return;
  $("speed").value = String(SPEEDS[k]);
  player.setSpeed(SPEEDS[k]);
  tell(`speed ${SPEEDS[k]}`);
}

function help() {
  const list = document.createElement("dl");
  for (const [key, what, , shown] of [...KEYS, ...CONTROLLED]) {
    const dt = document.createElement("dt");
    const kbd = document.createElement("kbd");
    kbd.textContent = shown ?? key;
    dt.append(kbd);
    const dd = document.createElement("dd");
    dd.textContent = what;
    const row = document.createElement("div");
    row.append(dt, dd);
    list.append(row);
  }
  $("keylist").replaceChildren(list);
  $("keys").showModal();
}

function undo() {
  if (sheet.undo()) tell("undone");
}

function redo() {
  if (sheet.redo()) tell("done again");
}

// The letter that stands on the key in the Latin alphabet, whatever alphabet the keyboard writes.
function latin({ key, code, shiftKey }) {
  const [, letter] = /^Key([A-Z])$/.exec(code) ?? [];
  const foreign = key === "Process" || (key.length === 1 && key > "~");
  return foreign && letter ? (shiftKey ? letter : letter.toLowerCase()) : key;
}

document.addEventListener("keydown", (event) => {
  if (!player || document.querySelector("dialog[open]")) return;
  const key = latin(event);
  const control = event.ctrlKey || event.metaKey;
  const typing = event.target.matches("input:not([type=checkbox]):not([type=range]), textarea");
  if (control && key.toLowerCase() === "s") {
    event.preventDefault();
    document.activeElement?.blur?.(); // what is being typed is part of it
    save();
    return;
  }
  if (key === "Escape") {
    event.target.blur?.();
    return;
  }
  if (typing) {
    if (event.isComposing) return; // Enter chooses among what an input method offers
    if (key === "Enter") event.target.blur(); // which takes over what was written
    return;
  }
  if (control) {
    if (key.toLowerCase() === "z") event.shiftKey ? redo() : undo();
    else if (key.toLowerCase() === "y") redo();
    else return;
    event.preventDefault();
    return;
  }
  if (event.altKey) return;
  // A control that is in use keeps its own keys.
  const own = event.target.matches("select, input[type=range], [role=tab]");
  if (own && (key.startsWith("Arrow") || key === "Home" || key === "End")) return;
  if (key === " " && event.target.matches("button, select, input, [role=tab]")) return;
  if (event.target === $("list") && (key === "ArrowDown" || key === "ArrowUp")) {
    event.preventDefault();
    jump(key === "ArrowDown" ? 1 : -1);
    return;
  }
  const found = KEYS.find(([name]) => (name === "Space" ? key === " " : name === key)) ?? (key === "Backspace" ? KEYS.find(([name]) => name === "Delete") : null);
  if (!found) return;
  event.preventDefault();
  found[2](event);
});

// -- wiring -----------------------------------------------------------------------------------

function option(box, value, text) {
  const made = document.createElement("option");
  made.value = value;
  made.textContent = text;
  box.append(made);
}

function on(id, type, act) {
  $(id).addEventListener(type, act);
}

on("previous", "click", () => jump(-1));
on("next", "click", () => jump(1));
on("back", "click", () => step(-1));
on("forth", "click", () => step(1));
on("play", "click", () => player.toggle());
on("loop", "change", loop);
on("speed", "change", () => player.setSpeed(Number($("speed").value)));
on("number", "change", () => {
  player.show(Number($("number").value));
  $("number").value = String(player.frame); // whatever was written
});
on("showbox", "change", () => drawOverlay(player.frame));
on("showmarks", "change", () => drawOverlay(player.frame));
on("save", "click", () => save());
on("undo", "click", undo);
on("redo", "click", redo);
on("help", "click", help);
on("add", "click", () => add("micro"));
on("delete", "click", remove);
on("zoomin", "click", () => timeline.zoom(0.5));
on("zoomout", "click", () => timeline.zoom(2));
on("zoomall", "click", () => timeline.whole());
on("curves", "change", showCurves);
on("alpha", "change", crops);
on("flicker", "change", crops);
on("alarms", "input", turn);
on("take", "click", () => {
  if (!preview) return;
  sheet.replace(preview.expressions);
  preview = null;
  $("take").disabled = $("drop").disabled = true;
  changed();
  tell("taken over; Ctrl+Z brings back what was there");
});
on("drop", "click", () => {
  preview = null;
  dial();
  changed();
});
on("first", "change", compare);
on("second", "change", compare);
on("export", "change", () => {
  const suffix = $("export").value;
  $("export").value = "";
  if (suffix) exported(suffix);
});
on("kind", "change", () => edit({ kind: $("kind").value }));
on("label", "change", () => edit({ label: $("label").value.trim() || null }));
on("comment", "change", () => edit({ comment: $("comment").value }));
on("confirmed", "change", () => edit({ confirmed: $("confirmed").checked }));
for (const part of PARTS) {
  on(part, "change", () => {
    const text = $(part).value;
    if (selected && text !== "") {
      sheet.move(selected, part, Number(text));
      const frame = sheet.get(selected)[part];
      $(part).value = String(frame); // whatever was written
      player.show(frame);
    } else if (selected && part === "apex") edit({ apex: null });
    else if (selected) $(part).value = String(sheet.get(selected)[part]); // these are needed
  });
}
on("editor", "submit", (event) => event.preventDefault());
on("base", "change", async () => {
  if (sheet.dirty && !(await ask("What is not saved will be lost. Go on?"))) {
    $("base").value = begun;
    return;
  }
  await forget();
  await begin($("base").value);
  listCoders(); // of another edition some may be accepted by now
  select(sheet.items[0]?.id ?? null);
});
on("video", "change", async () => {
  if (sheet.dirty && !(await ask("What is not saved will be lost. Go on?"))) {
    $("video").value = String(number);
    return;
  }
  await forget();
  open(Number($("video").value)).catch(complain);
});
const tabs = [...document.querySelectorAll("[role=tab]")];
function showTab(tab) {
  for (const one of tabs) {
    const on = one === tab;
    one.setAttribute("aria-selected", String(on));
    one.tabIndex = on ? 0 : -1;
    $(one.getAttribute("aria-controls")).hidden = !on;
  }
  if (tab.id === "tab-faces") crops();
  if (tab.id === "tab-agreement") compare();
}
for (const [k, tab] of tabs.entries()) {
  tab.addEventListener("click", () => showTab(tab));
  tab.addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    const next = tabs[(k + by + tabs.length) % tabs.length];
    next.focus();
    showTab(next);
  });
}
window.addEventListener("beforeunload", (event) => {
  if (sheet?.dirty) event.preventDefault();
});
window.addEventListener("pagehide", () => {
  if (drafting) sendDraft(true);
});

start().catch(complain);
