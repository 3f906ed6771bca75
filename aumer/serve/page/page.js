// The page of `aumer serve`: uploads, progress and results of the jobs of this browser tab.

const $ = (id) => document.getElementById(id);
const ENDED = ["done", "failed", "canceled"];
let token = sessionStorage.getItem("token") ?? "";
let known = JSON.parse(sessionStorage.getItem("jobs") ?? "[]");

function notice(text) {
  $("notice").textContent = text;
  $("notice").hidden = !text;
}

async function ask(path, options = {}) {
  const headers = { ...options.headers };
  if (token) headers.Authorization = `Bearer ${token}`;
  const answer = await fetch(path, { ...options, headers });
  if (answer.ok) return answer;
  const said = await answer.json().catch(() => ({ detail: answer.statusText }));
  throw Object.assign(new Error(said.detail), { status: answer.status });
}

function keep() {
  sessionStorage.setItem("jobs", JSON.stringify(known));
}

function button(text, act) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = text;
  made.addEventListener("click", () => act().catch((error) => notice(error.message)));
  return made;
}

function row(id) {
  const made = document.createElement("tr");
  if (id) made.id = `job-${id}`;
  made.append(...Array.from({ length: 4 }, () => document.createElement("td")));
  $("jobs").prepend(made);
  return made;
}

function show(job) {
  const [name, state, result, acts] = (document.getElementById(`job-${job.id}`) ?? row(job.id)).cells;
  name.textContent = job.name;
  const share = job.frames_estimate ? ` of about ${job.frames_estimate}` : "";
  state.textContent = job.state === "running" ? `running, ${job.frames ?? 0}${share} frames` : job.state;
  if (job.problem) state.textContent = `failed: ${job.problem.detail}`;
  result.replaceChildren();
  job.results.forEach((one, k) => {
    const line = document.createElement("div");
    const who = one.face ? `face ${one.face}: ` : "";
    line.append(`${who}${one.micro} micro, ${one.macro} macro `);
    for (const suffix of job.options.formats) line.append(button(suffix, () => download(job, k + 1, suffix)), " ");
    result.append(line);
  });
  acts.replaceChildren();
  if (!ENDED.includes(job.state)) acts.append(button("Cancel", async () => show(await (await ask(`/v1/jobs/${job.id}/cancel`, { method: "POST" })).json())), " ");
  acts.append(button("Remove", () => remove(job.id)));
}

function gone(id) {
  known = known.filter((one) => one !== id);
  keep();
  document.getElementById(`job-${id}`)?.remove();
}

async function remove(id) {
  await ask(`/v1/jobs/${id}`, { method: "DELETE" });
  gone(id);
}

async function download(job, number, suffix) {
  const answer = await ask(`/v1/jobs/${job.id}/result.${suffix}?number=${number}`);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await answer.blob());
  link.download = decodeURIComponent(answer.headers.get("content-disposition").split("''")[1]);
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

// EventSource sends no token; the stream is read by hand.
async function follow(id) {
  for (;;) {
    try {
      const answer = await ask(`/v1/jobs/${id}/events`);
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = "";
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        text += value;
        const parts = text.split("\n\n");
        text = parts.pop();
        for (const part of parts) {
          if (part.startsWith("event: removed")) return gone(id);
          const data = part.match(/^data: (.*)$/m);
          if (!data) continue;
          const job = JSON.parse(data[1]);
          show(job);
          if (ENDED.includes(job.state)) return;
        }
      }
    } catch (error) {
      if (error.status === 404) return gone(id);
    }
    await new Promise((later) => setTimeout(later, 2000)); // the service may be begun again
  }
}

async function submit(file) {
  const line = row("");
  line.cells[0].textContent = file.name;
  line.cells[1].textContent = "is sent";
  const options = { faces: $("faces").checked };
  if ($("face").value) options.face = $("face").value;
  if ($("sensitivity").value) options.sensitivity = $("sensitivity").value;
  if ($("label").checked) options.recognizer = "default";
  const asked = new URLSearchParams({ name: file.name, options: JSON.stringify(options) });
  try {
    const answer = await ask(`/v1/jobs?${asked}`, {
      method: "POST",
      headers: { "Content-Type": "application/octet-stream" },
      body: file,
    });
    const job = await answer.json();
    line.remove();
    known.push(job.id);
    keep();
    show(job);
    follow(job.id);
  } catch (error) {
    line.cells[1].textContent = `not taken: ${error.message}`;
  }
}

async function enter() {
  try {
    const about = await (await ask("/v1/service")).json();
    const { upload_bytes, length_s, frames } = about.limits;
    $("limits").textContent = `At most ${Math.floor(upload_bytes / 2 ** 20)} MiB, ${length_s / 60} minutes and ${frames} frames each.`;
    $("kept").replaceChildren(...about.personal_data.map((one) => {
      const made = document.createElement("li");
      made.textContent = `${one.what}: in ${one.where}, ${one.how_long}.`;
      return made;
    }));
    $("door").hidden = true;
    $("inside").hidden = false;
    notice("");
    known.forEach(follow);
  } catch (error) {
    $("door").hidden = error.status !== 401;
    notice(token || error.status !== 401 ? error.message : "");
  }
}

$("door").addEventListener("submit", (event) => {
  event.preventDefault();
  token = $("token").value.trim();
  sessionStorage.setItem("token", token);
  enter();
});
$("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  for (const file of [...$("files").files]) await submit(file);
  $("form").reset();
});
enter();
