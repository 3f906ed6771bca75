// Shows frames by their number. At rest every frame comes from the server, which knows its frames;
// while it plays, the browser's own player is used where it can play the film. What is drawn then is
// a copy of the picture that carries its own time (VideoFrame), which says which frame it is: what
// requestVideoFrameCallback tells may be of the picture before. Where the browser cannot, or is
// found to present frames at other times, frames come from the server then, too.

const KEPT = 24;

export class Player {
  constructor(canvas, base, about, times, on) {
    Object.assign(this, { canvas, base, about, times, on });
    this.count = about.count;
    this.frame = 0;
    this.playing = false;
    this.speed = 1;
    this.range = null; // of a loop
    this.bitmaps = new Map();
    this.asked = 0;
    this.closed = false;
    canvas.width = about.width;
    canvas.height = about.height;
    this.context = canvas.getContext("2d");
    this.film = null;
    this.shift = 0;
    this.misses = 0;
    this.why = about.playable ? "looking whether the browser plays this film" : "frames come from the server";
    this.ready = about.playable ? this.prepare() : Promise.resolve();
  }

  close() {
    this.closed = true;
    this.pause(false);
    if (this.film) {
      this.film.removeAttribute("src");
      this.film.load();
    }
    for (const bitmap of this.bitmaps.values()) bitmap.close();
    this.bitmaps.clear();
  }

  // -- one frame ------------------------------------------------------------------------------

  show(number) {
    const k = Math.max(0, Math.min(this.count - 1, Math.round(number)));
    if (this.playing) {
      this.pause(false);
      this.go(k);
      this.play();
      return Promise.resolve();
    }
    return this.go(k);
  }

  async go(k) {
    const direction = k < this.frame ? -1 : 1;
    this.frame = k;
    this.on.frame(k);
    const mine = ++this.asked;
    try {
      const bitmap = await this.bitmap(k);
      if (mine !== this.asked || this.playing || this.closed) return;
      this.draw(bitmap, k);
      const next = k + direction;
      if (next >= 0 && next < this.count) this.bitmap(next).catch(() => {});
    } catch (error) {
      if (mine === this.asked && !this.closed) this.on.error(error);
    }
  }

  async bitmap(k) {
    const kept = this.bitmaps.get(k);
    if (kept) {
      this.bitmaps.delete(k);
      this.bitmaps.set(k, kept);
      return kept;
    }
    const made = await picture(`${this.base}/frame/${k}.png`);
    if (!this.bitmaps.has(k)) this.bitmaps.set(k, made);
    while (this.bitmaps.size > KEPT) {
      const [oldest, bitmap] = this.bitmaps.entries().next().value;
      this.bitmaps.delete(oldest);
      bitmap.close();
    }
    return this.bitmaps.get(k) ?? made;
  }

  draw(image, k) {
    this.context.drawImage(image, 0, 0, this.canvas.width, this.canvas.height);
    this.canvas.dataset.frame = String(k);
    this.on.drawn(k);
  }

  // -- playback -------------------------------------------------------------------------------

  async prepare() {
    const film = document.createElement("video");
    film.muted = true;
    film.preload = "auto";
    film.playsInline = true;
    try {
      if (!film.requestVideoFrameCallback || !window.VideoFrame) {
        throw new Error("this browser does not tell its frames");
      }
      const first = new Promise((resolve, reject) => {
        film.requestVideoFrameCallback(() => {
          const taken = new VideoFrame(film);
          resolve(taken.timestamp / 1e6);
          taken.close();
        });
        film.addEventListener("error", () => reject(new Error("the browser cannot play this film")));
        setTimeout(() => reject(new Error("the browser shows no frame of this film")), 5000);
      });
      film.src = `${this.base}/film`;
      film.load();
      // The browser may count from another instant than the decoder: the first frame tells.
      this.shift = this.times[0] - (await first);
      const last = this.times[this.count - 1] - this.times[0];
      if (Math.abs(film.duration - last) > Math.max(1, 0.02 * last)) {
        throw new Error("the browser finds another length of this film");
      }
      this.film = film;
      this.why = "";
    } catch (error) {
      film.removeAttribute("src");
      this.why = `${error.message}: frames come from the server`;
    }
    this.on.source(this.why);
  }

  toggle() {
    if (this.playing) this.pause(true);
    else this.play();
  }

  play() {
    if (this.playing) return;
    if (this.range && (this.frame < this.range[0] || this.frame >= this.range[1])) this.frame = this.range[0];
    else if (this.frame >= this.count - 1) this.frame = 0;
    this.playing = true;
    this.asked++;
    this.on.playing(true);
    this.film ? this.playFilm() : this.playFrames();
  }

  // What is shown at rest is the server's frame.
  pause(show) {
    if (!this.playing) return;
    this.playing = false;
    this.run = null;
    clearTimeout(this.watching);
    if (this.film) this.film.pause();
    this.on.playing(false);
    if (show) this.go(this.frame);
  }

  setSpeed(speed) {
    this.speed = speed;
    if (this.playing) {
      this.pause(false);
      this.play();
    }
  }

  gap(k) {
    const { times, count } = this;
    return k + 1 < count ? times[k + 1] - times[k] : count > 1 ? times[k] - times[k - 1] : 0.04;
  }

  // From here on without the browser's player.
  leave(why) {
    const film = this.film;
    clearTimeout(this.watching);
    this.why = `${why}: frames come from the server`;
    this.film = null;
    film.pause();
    this.on.source(this.why);
    this.playFrames();
  }

  async playFilm() {
    const film = this.film;
    const run = (this.run = {});
    const going = () => this.run === run && this.playing;
    const seek = (k) => {
      film.currentTime = this.times[k] - this.shift + this.gap(k) / 2;
    };
    // Of some films it finds no frame after a seek, and says nothing.
    const watch = () => {
      clearTimeout(this.watching);
      this.watching = setTimeout(() => {
        if (!going()) return;
        if (document.hidden) watch(); // what nobody sees is not drawn
        else this.leave("the browser stops in this film");
      }, 1500 + (2000 * this.gap(this.frame)) / this.speed);
    };
    const seen = () => {
      if (!going()) return;
      watch();
      const taken = new VideoFrame(film);
      try {
        present(taken);
      } finally {
        taken.close();
      }
    };
    const present = (taken) => {
      const time = taken.timestamp / 1e6 + this.shift;
      const k = nearest(this.times, time);
      if (Math.abs(this.times[k] - time) > 0.3 * this.gap(k) + 0.002) this.misses++;
      if (this.misses > 3) {
        this.leave("the browser presents frames at other times");
        return;
      }
      film.requestVideoFrameCallback(seen);
      if (this.range && k > this.range[1]) {
        seek(this.range[0]);
        return;
      }
      this.frame = k;
      this.draw(taken, k);
      this.on.frame(k);
    };
    film.onended = () => {
      if (!going()) return;
      if (this.range) {
        seek(this.range[0]);
        film.play().catch(() => {});
      } else {
        this.frame = this.count - 1;
        this.pause(true);
      }
    };
    film.playbackRate = this.speed;
    seek(this.frame);
    film.requestVideoFrameCallback(seen);
    watch();
    try {
      await film.play();
    } catch (error) {
      if (going()) this.leave(`the browser does not play (${error.message})`);
    }
  }

  async playFrames() {
    const run = (this.run = {});
    let from = this.frame;
    let since = performance.now();
    const ahead = new Map();
    const get = (k) => {
      if (!ahead.has(k)) {
        const made = picture(`${this.base}/frame/${k}.jpg`);
        made.catch(() => {});
        ahead.set(k, made);
      }
      return ahead.get(k);
    };
    while (this.run === run && this.playing) {
      const want = this.times[from] + ((performance.now() - since) / 1000) * this.speed;
      const end = this.range ? this.range[1] : this.count - 1;
      let k = Math.max(from, before(this.times, want));
      if (k > end) {
        if (!this.range) {
          this.frame = end;
          this.pause(true);
          return;
        }
        from = k = this.range[0];
        since = performance.now();
      }
      let image;
      try {
        image = await get(k);
      } catch (error) {
        if (this.run === run) {
          this.on.error(error);
          this.pause(true);
        }
        return;
      }
      if (this.run !== run || !this.playing) return;
      if (this.canvas.dataset.frame !== String(k)) {
        this.frame = k;
        this.draw(image, k);
        this.on.frame(k);
      }
      for (const old of [...ahead.keys()]) if (old < k || old > k + 4) ahead.delete(old);
      // Frames that would come too late are passed over.
      const then = before(this.times, this.times[from] + ((performance.now() - since) / 1000) * this.speed);
      if (then + 1 <= end) get(Math.max(k, then) + 1).catch(() => {});
      await new Promise(requestAnimationFrame);
    }
  }
}

// As `fetch`, and what it says where nobody answers.
export async function asked(url, how) {
  try {
    return await fetch(url, how);
  } catch {
    throw new Error("aumer view does not answer: it was ended. What is not saved is on this page alone; without it the page can neither save nor export.");
  }
}

export async function picture(url) {
  const answer = await asked(url);
  if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).error ?? answer.statusText);
  return createImageBitmap(await answer.blob(), { colorSpaceConversion: "none" });
}

// The last place whose time is not after this one; 0 where there is none.
export function before(times, time) {
  let low = 0;
  let high = times.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] <= time + 1e-9) low = middle + 1;
    else high = middle;
  }
  return Math.max(0, low - 1);
}

export function nearest(times, time) {
  const k = before(times, time);
  return k + 1 < times.length && times[k + 1] - time < time - times[k] ? k + 1 : k;
}
