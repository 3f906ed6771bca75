// Intervals and the playhead over time; curves go along with them (curves.js).

import { before, nearest } from "/assets/player.js";

// Dark enough for white letters, and apart for the color-blind.
const KINDS = { micro: "#b34a00", macro: "#0062a3" };
const RULER = 20;
const OWN = 30;
const LANE = 18;
const HIT = 7;

export class Timeline {
  constructor(canvas, on) {
    this.canvas = canvas;
    this.on = on;
    this.context = canvas.getContext("2d");
    this.still = document.createElement("canvas");
    this.times = new Float64Array(1);
    this.lanes = [];
    this.room = 0; // px kept free at the left, for the numbers of curves
    this.frame = 0;
    this.left = 0;
    this.selected = null;
    this.range = [0, 1];
    this.stale = true;
    this.waiting = false;
    this.drag = null;
    new ResizeObserver(() => this.redraw(true)).observe(canvas);
    this.listen(canvas);
  }

  // An element as wide as the timeline, on which mouse, pen and finger do what they do on it.
  listen(element) {
    element.addEventListener("pointerdown", (e) => this.down(e));
    element.addEventListener("pointermove", (e) => this.over(e));
    element.addEventListener("pointerup", (e) => this.up(e));
    element.addEventListener("pointercancel", (e) => this.up(e));
    element.addEventListener("wheel", (e) => this.wheel(e), { passive: false });
  }

  // -- what is shown --------------------------------------------------------------------------

  video(times) {
    this.times = times;
    this.whole();
  }

  get length() {
    return Math.max(this.times[this.times.length - 1] - this.times[0], 0.04);
  }

  whole() {
    const pad = 0.01 * this.length;
    this.range = [this.times[0] - pad, this.times[this.times.length - 1] + pad];
    this.redraw(true);
  }

  zoom(factor, about) {
    const [a, b] = this.range;
    const at = about ?? Math.min(b, Math.max(a, this.times[this.frame]));
    const length = Math.min(1.02 * this.length, Math.max(0.2, (b - a) * factor));
    const share = (at - a) / (b - a);
    this.look(at - share * length, length);
  }

  look(start, length) {
    const pad = 0.01 * this.length;
    const most = this.times[this.times.length - 1] + pad - length;
    const from = Math.max(this.times[0] - pad, Math.min(most, start));
    this.range = [from, from + length];
    this.redraw(true);
  }

  // The playhead; the range follows it where it leaves it.
  at(frame) {
    this.frame = frame;
    const [a, b] = this.range;
    const time = this.times[frame];
    if (!this.drag && (time < a || time > b)) this.look(time - 0.1 * (b - a), b - a);
    this.redraw(false);
  }

  see(first, last) {
    const [a, b] = this.range;
    if (this.times[first] < a || this.times[last] > b) {
      const length = Math.max(b - a, 1.5 * (this.times[last] - this.times[first]));
      this.look((this.times[first] + this.times[last] - length) / 2, length);
    }
  }

  redraw(stale) {
    this.stale = this.stale || stale;
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.draw();
    });
  }

  // -- drawing --------------------------------------------------------------------------------

  x(time) {
    return this.left + ((time - this.range[0]) / (this.range[1] - this.range[0])) * this.span;
  }

  time(x) {
    return this.range[0] + ((x - this.left) / this.span) * (this.range[1] - this.range[0]);
  }

  get span() {
    return Math.max(1, this.width - this.left);
  }

  // Names of lanes stand beside them, where there are several.
  margin(c) {
    if (this.lanes.length < 2) return this.room;
    const widest = Math.max(...this.lanes.map((lane) => c.measureText(lane.name).width));
    return Math.max(this.room, Math.ceil(Math.min(widest + 10, 0.3 * this.width, 130)));
  }

  // A frame lasts until the next one comes.
  ends(e) {
    const { times } = this;
    const last = e.offset;
    const gap = last + 1 < times.length ? times[last + 1] - times[last] : last > 0 ? times[last] - times[last - 1] : 0.04;
    return [this.x(times[e.onset]), Math.max(this.x(times[e.onset]) + 2, this.x(times[last] + gap))];
  }

  draw() {
    const ratio = window.devicePixelRatio || 1;
    this.width = this.canvas.clientWidth;
    this.height = this.canvas.clientHeight;
    if (!this.width || !this.height) return;
    const size = [Math.round(this.width * ratio), Math.round(this.height * ratio)];
    if (this.canvas.width !== size[0] || this.canvas.height !== size[1]) {
      [this.canvas.width, this.canvas.height] = size;
      this.stale = true;
    }
    if (this.stale) {
      [this.still.width, this.still.height] = size;
      const c = this.still.getContext("2d");
      c.setTransform(ratio, 0, 0, ratio, 0, 0);
      this.drawStill(c);
      this.stale = false;
    }
    const c = this.context;
    c.setTransform(1, 0, 0, 1, 0, 0);
    c.clearRect(0, 0, ...size);
    c.drawImage(this.still, 0, 0);
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    const x = this.x(this.times[this.frame]);
    c.strokeStyle = "#c00000";
    c.fillStyle = "#c00000";
    c.lineWidth = 1.5;
    c.beginPath();
    c.moveTo(x, 0);
    c.lineTo(x, this.height);
    c.stroke();
    c.beginPath();
    c.moveTo(x - 5, 0);
    c.lineTo(x + 5, 0);
    c.lineTo(x, 7);
    c.fill();
    this.on.drawn(this);
  }

  drawStill(c) {
    c.fillStyle = "#ffffff";
    c.fillRect(0, 0, this.width, this.height);
    c.font = "12px system-ui, sans-serif";
    c.textBaseline = "middle";
    this.left = this.margin(c);
    this.canvas.dataset.left = String(this.left);
    c.save();
    c.beginPath();
    c.rect(this.left, 0, this.span, this.height);
    c.clip();
    this.drawRuler(c);
    let y = RULER;
    this.lanes.forEach((lane, k) => {
      const height = k === 0 ? OWN : LANE;
      this.drawLane(c, lane, y, height, k === 0);
      y += height + 2;
    });
    c.restore();
    y = RULER;
    this.lanes.forEach((lane, k) => {
      const height = k === 0 ? OWN : LANE;
      c.fillStyle = "#333";
      c.fillText(short(c, lane.name, this.left - 6), 3, y + height / 2);
      y += height + 2;
    });
  }

  drawRuler(c) {
    const [a, b] = this.range;
    const steps = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600];
    const step = steps.find((s) => (s / (b - a)) * this.span >= 64) ?? 7200;
    c.fillStyle = "#444";
    c.strokeStyle = "#e3e3e3";
    c.lineWidth = 1;
    for (let t = Math.max(0, Math.ceil(a / step) * step); t <= b; t += step) {
      const x = Math.round(this.x(t)) + 0.5;
      c.beginPath();
      c.moveTo(x, RULER - 4);
      c.lineTo(x, this.height);
      c.stroke();
      const label = clock(t, step);
      if (x + c.measureText(label).width < this.width) c.fillText(label, x + 3, RULER / 2);
    }
  }

  drawLane(c, lane, y, height, own) {
    c.fillStyle = own ? "#f4f6f8" : "#fafafa";
    c.fillRect(0, y, this.width, height);
    for (const e of lane.items) {
      const [x0, x1] = this.ends(e);
      if (x1 < this.left || x0 > this.width) continue;
      const chosen = own && e.id === this.selected;
      const color = KINDS[e.kind];
      c.fillStyle = color;
      c.fillRect(x0, y + 2, x1 - x0, height - 4);
      if (own && !e.confirmed && e.score !== null) {
        // What nobody has confirmed is hatched at its foot.
        c.fillStyle = "#ffffff99";
        for (let x = x0; x < x1; x += 6) c.fillRect(x, y + height - 6, Math.min(3, x1 - x), 3);
      }
      if (e.apex !== null) {
        const x = this.x(this.times[e.apex]);
        c.strokeStyle = "#ffffff";
        c.lineWidth = 2;
        c.beginPath();
        for (const from of [y + 2, y + height - 2 - height / 4]) {
          c.moveTo(x, from);
          c.lineTo(x, from + height / 4);
        }
        c.stroke();
      }
      if (chosen) {
        c.strokeStyle = "#000000";
        c.lineWidth = 2;
        c.strokeRect(x0 + 0.5, y + 1.5, x1 - x0 - 1, height - 3);
      }
      // A word that is cut off after two letters says nothing.
      const from = Math.max(x0, this.left) + 5;
      const room = Math.min(x1, this.width) - from - 4;
      const text = said(e);
      if (room < Math.min(40, c.measureText(text).width)) continue;
      c.fillStyle = "#ffffff";
      c.fillText(short(c, text, room), from, y + height / 2 - (own ? 2 : 0));
    }
  }

  // -- mouse, pen and finger ------------------------------------------------------------------

  place(event) {
    const box = this.canvas.getBoundingClientRect();
    const x = event.clientX - box.left - this.canvas.clientLeft;
    const time = this.time(x);
    return {
      x,
      y: event.clientY - box.top - this.canvas.clientTop,
      frame: nearest(this.times, time),
      under: before(this.times, time),
      touch: event.pointerType === "touch",
    };
  }

  // What of the coder's own lane lies under a point.
  hit({ x, y, touch }) {
    if (y < RULER || y > RULER + OWN || !this.lanes.length) return null;
    const near = touch ? 2 * HIT : HIT;
    let best = null;
    for (const e of this.lanes[0].items) {
      const [x0, x1] = this.ends(e);
      if (x < x0 - near || x > x1 + near) continue;
      const apex = e.apex === null ? Infinity : Math.abs(x - this.x(this.times[e.apex]));
      const found = [["onset", Math.abs(x - x0)], ["offset", Math.abs(x - x1)], ["apex", apex]]
        .filter(([, d]) => d <= near)
        .sort((p, q) => p[1] - q[1])[0];
      const mine = e.id === this.selected ? -HIT : 0; // the one in hand comes first
      const distance = (found ? found[1] : near) + mine;
      if ((found || (x >= x0 && x <= x1)) && (!best || distance < best.distance)) {
        best = { id: e.id, part: found ? found[0] : "all", distance };
      }
    }
    return best;
  }

  down(event) {
    if (event.button !== 0) return;
    const place = this.place(event);
    const found = this.hit(place);
    event.currentTarget.setPointerCapture(event.pointerId);
    if (found) {
      this.on.select(found.id);
      const e = this.lanes[0].items.find((one) => one.id === found.id);
      this.drag = { ...found, from: place, moved: false, by: place.frame - e.onset };
      if (found.part === "all") this.on.seek(place.under);
      return;
    }
    this.drag = { part: "playhead", from: place, moved: false };
    this.on.seek(place.under);
  }

  over(event) {
    const place = this.place(event);
    if (!this.drag) {
      const found = this.hit(place);
      this.canvas.style.cursor = !found ? "default" : found.part === "all" ? "grab" : "ew-resize";
      return;
    }
    const drag = this.drag;
    if (!drag.moved && Math.abs(place.x - drag.from.x) < 3) return;
    drag.moved = true;
    if (drag.part === "playhead") this.on.seek(place.under);
    // The end of a bar is the end of its last frame.
    else if (drag.part === "offset") this.on.drag(drag.id, "offset", this.last(place));
    else this.on.drag(drag.id, drag.part, drag.part === "all" ? place.frame - drag.by : place.frame);
  }

  last(place) {
    const k = nearest(this.times, this.time(place.x));
    return Math.max(0, k - 1);
  }

  up() {
    const drag = this.drag;
    this.drag = null;
    if (drag && drag.part !== "playhead" && drag.moved) this.on.dropped(drag.id);
  }

  wheel(event) {
    event.preventDefault();
    const [a, b] = this.range;
    if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      const by = (event.deltaX || event.deltaY) / this.span;
      this.look(a + by * (b - a), b - a);
      return;
    }
    const place = this.place(event);
    this.zoom(Math.exp(event.deltaY / 400), this.time(place.x));
  }
}

function short(c, text, most) {
  if (c.measureText(text).width <= most) return text;
  let cut = text;
  while (cut && c.measureText(`${cut}…`).width > most) cut = cut.slice(0, -1);
  return `${cut}…`;
}

export function said(e) {
  const score = e.score === null || e.score === undefined ? "" : ` ${e.score.toFixed(2).replace(/^0/, "")}`;
  return `${e.label || e.kind}${score}`;
}

export function clock(time, step = 0.001) {
  const digits = step >= 1 ? 0 : step >= 0.1 ? 1 : step >= 0.01 ? 2 : 3;
  const minutes = Math.floor(time / 60 + 1e-9);
  const rest = (time - 60 * minutes).toFixed(digits);
  return minutes ? `${minutes}:${rest.padStart(digits ? digits + 3 : 2, "0")}` : `${rest} s`;
}
