// The page of a live run: one stream of events, one picture at a time, one curve.

/* global uPlot */

const $ = (id) => document.getElementById(id);
const SHOWN = 50;
const SECONDS = 10;

const told = new Map(); // by number, the last told last
let about = null;
let loading = false;
let over = false;

const write = (id, text) => { if ($(id).textContent !== text) $(id).textContent = text; };

function clock(seconds) {
  const minutes = Math.floor(seconds / 60);
  return `${minutes}:${(seconds - 60 * minutes).toFixed(2).padStart(5, "0")}`;
}

function cell(row, text) {
  const made = document.createElement("td");
  made.textContent = text;
  row.append(made);
  return made;
}

function list() {
  const rows = [...told.values()].reverse().map((e) => {
    const row = document.createElement("tr");
    row.className = e.event === "final" || e.event === "withdrawn" ? e.event : "open";
    const kind = document.createElement("span");
    kind.className = `kind ${e.kind}`;
    kind.textContent = e.kind;
    cell(row, "").append(kind);
    cell(row, clock(e.onset_s));
    cell(row, clock(e.offset_s));
    cell(row, `${(e.offset_s - e.onset_s).toFixed(2)} s`);
    cell(row, e.score.toFixed(2));
    cell(row, e.label ?? "");
    cell(row, e.event);
    return row;
  });
  $("told").replaceChildren(...rows);
}

function hear(line) {
  if (line.event === "started") {
    about = line;
    write("title", `aumer live: ${line.source}`);
    document.title = `${line.source} · aumer live`;
  } else if (line.event === "ended") {
    over = true;
    stream.close();
    write("face", "over");
    write("totals", `${line.micro} micro, ${line.macro} macro`);
    if (line.recording) notice(`Recorded in ${line.recording}`);
  } else if (line.event !== "dropped") {
    told.delete(line.id);
    told.set(line.id, line);
    for (const id of told.keys()) if (told.size > SHOWN) told.delete(id);
    list();
  }
}

function notice(text) {
  $("notice").hidden = !text;
  write("notice", text);
}

function see(state) {
  if (state.time_s === undefined) return;
  const rate = state.time_s > 0 ? state.analyzed / state.time_s : 0;
  const parts = [
    clock(state.time_s), `${rate.toFixed(1)} frames/s`, `${state.dropped} dropped`,
    `${state.lag_s.toFixed(2)} s late`,
  ];
  if (about) parts.push(`spotter ${about.spotter}`, `settles ${about.settles_s} s after an offset`);
  write("status", parts.join(" · "));
  write("face", state.box ? "face seen" : "no face");
  $("face").className = state.box ? "" : "missing";
  draw(state);
  if (!loading) picture(state);
}

async function picture(state) {
  loading = true;
  try {
    const answer = await fetch("/api/live/frame.jpg");
    if (!answer.ok) return;
    const image = await createImageBitmap(await answer.blob());
    const canvas = $("picture");
    if (canvas.width !== image.width || canvas.height !== image.height) {
      canvas.width = image.width;
      canvas.height = image.height;
    }
    const to = canvas.getContext("2d");
    to.drawImage(image, 0, 0);
    canvas.dataset.frame = state.frame;
    if (state.box) {
      const share = image.width / state.size[0];
      const [x0, y0, x1, y1] = state.box.map((v) => v * share);
      to.lineWidth = 2;
      to.strokeStyle = "#ffd23f";
      to.strokeRect(x0, y0, x1 - x0, y1 - y0);
    }
  } catch (error) {
    if (!over) console.warn(error);
  } finally {
    loading = false;
  }
}

// -- the curve, drawn by uPlot ----------------------------------------------------------------

function shade(u) {
  const { left, top, width, height } = u.bbox;
  u.ctx.save();
  u.ctx.beginPath();
  u.ctx.rect(left, top, width, height);
  u.ctx.clip();
  u.ctx.fillStyle = "#f0e4d8";
  for (const e of told.values()) {
    if (e.event === "withdrawn") continue;
    const [from, to] = [e.onset_s, e.offset_s].map((t) => u.valToPos(t, "x", true));
    u.ctx.fillRect(from, top, to - from, height);
  }
  u.ctx.restore();
}

let now = SECONDS;
const font = "11px system-ui, sans-serif";
const size = () => ({ width: $("curve").clientWidth, height: 120 });
const plot = new uPlot({
  ...size(),
  padding: [8, 8, 0, 0],
  series: [{}, { stroke: "#005a94", width: 1.5 }],
  scales: { x: { time: false, range: () => [now - SECONDS, now] }, y: { range: () => [0, 1] } },
  axes: [
    { font, stroke: "#55606b", size: 22, gap: 2, ticks: { show: false }, grid: { show: false }, values: (_, times) => times.map((t) => (t < 0 ? "" : `${t} s`)) },
    { font, stroke: "#55606b", size: 34, ticks: { show: false }, splits: () => [0, 0.5, 1], grid: { stroke: "#cfd6dd", width: 1 } },
  ],
  cursor: { show: false },
  legend: { show: false },
  hooks: { drawClear: [shade] },
}, [[], []], $("curve"));
plot.ctx.canvas.setAttribute("aria-hidden", "true"); // what it lies in has a name
new ResizeObserver(() => plot.setSize(size())).observe($("curve"));

function draw(state) {
  now = state.time_s;
  plot.setData([state.times, state.curve]);
}

const stream = new EventSource("/api/live/events");
stream.onmessage = (message) => hear(JSON.parse(message.data));
stream.addEventListener("state", (message) => see(JSON.parse(message.data)));
stream.onopen = () => notice("");
stream.onerror = () => { if (!over) notice("The connection to aumer is lost; it is tried again."); };
