// The expressions in hand, with undo and redo. Frames are 0-based and both ends are included.

const PARTS = ["onset", "apex", "offset"];

export class Sheet {
  constructor(items, count) {
    this.count = count;
    this.items = sorted(items);
    this.saved = this.items;
    this.past = [];
    this.future = [];
    this.before = null; // while something is dragged
    this.listeners = [];
  }

  get dirty() {
    return this.items !== this.saved;
  }

  get(id) {
    return this.items.find((e) => e.id === id) ?? null;
  }

  onChange(listener) {
    this.listeners.push(listener);
  }

  // One step that can be undone.
  put(items) {
    this.past.push(this.before ?? this.items);
    this.before = null;
    this.future = [];
    this.items = sorted(items);
    this.told();
  }

  change(id, changes) {
    this.put(this.items.map((e) => (e.id === id ? { ...e, ...changes } : e)));
  }

  add(expression) {
    const made = { label: null, score: null, comment: "", confirmed: false, ...expression, id: fresh() };
    this.put([...this.items, made]);
    return made.id;
  }

  remove(id) {
    this.put(this.items.filter((e) => e.id !== id));
  }

  // Another set in place of all.
  replace(expressions) {
    this.put(expressions.map((e) => ({ ...e, id: fresh() })));
  }

  move(id, part, frame) {
    this.change(id, moved(this.get(id), part, frame, this.count));
  }

  // A drag is many previews and one step.
  preview(id, part, frame) {
    const from = this.before ?? this.items;
    const start = from.find((e) => e.id === id);
    this.before = from;
    const next = moved(start, part, frame, this.count);
    this.items = sorted(from.map((e) => (e.id === id ? { ...e, ...next } : e)));
    this.told();
  }

  drop() {
    if (!this.before) return;
    const same = JSON.stringify(this.before) === JSON.stringify(this.items);
    if (same) {
      this.items = this.before;
      this.before = null;
      this.told();
    } else this.put(this.items);
  }

  undo() {
    if (!this.past.length) return false;
    this.future.push(this.items);
    this.items = this.past.pop();
    this.told();
    return true;
  }

  redo() {
    if (!this.future.length) return false;
    this.past.push(this.items);
    this.items = this.future.pop();
    this.told();
    return true;
  }

  // What was saved counts as unchanged, wherever undo leads.
  keep(items) {
    this.saved = items;
    this.told();
  }

  told() {
    for (const listener of this.listeners) listener();
  }
}

// Where a part goes, the others make way; the order onset <= apex <= offset stays.
function moved(e, part, frame, count) {
  const at = Math.max(0, Math.min(count - 1, Math.round(frame)));
  const made = { onset: e.onset, apex: e.apex, offset: e.offset };
  if (part === "all") {
    const by = Math.max(-e.onset, Math.min(count - 1 - e.offset, at - e.onset));
    for (const p of PARTS) if (made[p] !== null) made[p] += by;
    return made;
  }
  made[part] = at;
  if (part === "onset") {
    made.offset = Math.max(made.offset, at);
    if (made.apex !== null) made.apex = Math.max(made.apex, at);
  } else if (part === "offset") {
    made.onset = Math.min(made.onset, at);
    if (made.apex !== null) made.apex = Math.min(made.apex, at);
  } else {
    made.onset = Math.min(made.onset, at);
    made.offset = Math.max(made.offset, at);
  }
  return made;
}

function sorted(items) {
  return [...items].sort((a, b) => a.onset - b.onset || a.offset - b.offset || (a.id < b.id ? -1 : 1));
}

let last = 0;
function fresh() {
  const random = crypto.getRandomValues(new Uint32Array(2));
  return `n${random[0].toString(36)}${random[1].toString(36)}${(last++).toString(36)}`;
}
