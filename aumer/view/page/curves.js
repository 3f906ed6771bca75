// Curves under the timeline, over the same stretch of time and with the same left edge. uPlot draws
// them; its cursor is the playhead, so that its legend has the values at the frame that is shown.

import { nearest } from "/assets/player.js";

/* global uPlot */

// Apart for the color-blind.
const COLORS = ["#009e73", "#9c4f96", "#6a6a6a", "#b8860b", "#0072b2", "#d55e00", "#117a8b", "#8b3a62", "#4b6a1f", "#3b3b98", "#7a4a21", "#000000"];
// As in all other pictures of a result.
const NAMED = { brow: "#009e73", nose: "#6a6a6a", mouth: "#9c4f96" };
const HEIGHT = 112;
// What the numbers beside the curves need.
export const NUMBERS = 40;

export class Curves {
  constructor(box, legend) {
    this.box = box;
    this.legend = legend;
    this.plot = null;
    this.range = [0, 1];
    this.left = NUMBERS;
    this.row = 0;
    new ResizeObserver(() => this.plot?.setSize({ width: box.clientWidth, height: HEIGHT })).observe(box);
  }

  // A group of curves with the same times, or null for none.
  show(group) {
    this.plot?.destroy();
    this.plot = null;
    this.legend.replaceChildren();
    this.box.hidden = group === null;
    if (group === null) return;
    const free = COLORS.filter((color) => !group.curves.some(({ name }) => NAMED[name] === color));
    const series = group.curves.map(({ name }, k) => ({
      label: name.replaceAll("_", " "),
      stroke: NAMED[name] ?? free[k % free.length],
      width: 1.25,
      value: (_, v) => (v === null || v === undefined ? "" : v.toFixed(2)),
    }));
    const options = {
      width: this.box.clientWidth,
      height: HEIGHT,
      padding: [0, 0, 0, 0],
      series: [{}, ...series],
      scales: {
        x: { time: false, range: () => this.range },
        // Scores and probabilities have no unit.
        y: { range: (_, low, high) => [0, !group.unit ? 1.05 : high > 0 ? 1.1 * high : 1] },
      },
      axes: [
        { size: 4, values: () => [], ticks: { show: false }, grid: { show: false } },
        {
          size: () => this.left,
          gap: 4,
          space: 28,
          font: "11px system-ui, sans-serif",
          stroke: "#444",
          ticks: { show: false },
          grid: { stroke: "#e3e3e3", width: 1 },
        },
      ],
      cursor: {
        y: false,
        // A column of pixels may be many rows wide.
        dataIdx: () => this.row,
        drag: { setScale: false, x: false, y: false },
        // The mouse moves the playhead, and the playhead this cursor.
        bind: Object.fromEntries(["mousedown", "mouseup", "click", "dblclick", "mousemove", "mouseleave", "mouseenter"].map((name) => [name, () => null])),
      },
      legend: { mount: (_, table) => this.legend.replaceChildren(table) },
    };
    this.plot = new uPlot(options, [Array.from(group.times), ...group.curves.map(({ values }) => gaps(values))], this.box);
    this.plot.ctx.canvas.setAttribute("aria-hidden", "true"); // the box has a name
    if (group.unit) this.legend.append(group.unit);
  }

  look(range, left) {
    if (!this.plot || (this.range[0] === range[0] && this.range[1] === range[1] && this.left === left)) return;
    this.range = [...range];
    this.left = left;
    // At once: the playhead is put where the new range has it.
    this.plot.batch(() => {
      this.plot.setScale("x", { min: range[0], max: range[1] });
      this.plot.redraw(false, true);
    });
  }

  at(time) {
    if (!this.plot) return;
    this.row = nearest(this.plot.data[0], time);
    this.plot.setCursor({ left: this.plot.valToPos(time, "x"), top: 0 }, false);
  }
}

// uPlot leaves a gap at null, where nothing was measured.
function gaps(values) {
  return Array.from(values, (v) => (v === v ? v : null));
}
