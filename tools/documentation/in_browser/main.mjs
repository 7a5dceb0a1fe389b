// The playground's page: what is asked of the worker, and what is shown of its answer.

const here = new URL("./", import.meta.url);
// Python has to be loaded within this time, and a run has to end within this one (milliseconds).
const LOADING_MS = 120000;
const RUNNING_MS = 30000;

const part = (name) => document.getElementById(`playground-${name}`);
const [choice, seed, run, stop, text] = ["choice", "seed", "run", "stop", "text"].map(part);
const [state, pictures, output] = ["state", "pictures", "output"].map(part);
const files = { scenario: part("scenario-file"), result: part("result-file") };

let scenarios = [];
let worker = null;
let isReady = false;
let limit = 0;

function say(sentence, isWrong = false) {
  state.textContent = sentence;
  state.classList.toggle("wrong", isWrong);
}

function begun() {
  worker = new Worker(new URL("worker.mjs", here), { type: "module" });
  isReady = false;
  worker.onmessage = ({ data }) => heard(data);
  worker.onerror = (event) => {
    event.preventDefault();
    ended();
    say(`The simulator can't be loaded: ${event.message ?? "see the browser's console"}`, true);
  };
}

function ended() {
  clearTimeout(limit);
  worker?.terminate();
  worker = null;
  atRest();
}

function atRest() {
  clearTimeout(limit);
  run.disabled = false;
  stop.disabled = true;
}

function limited(ms, sentence) {
  clearTimeout(limit);
  limit = setTimeout(() => {
    ended();
    say(sentence, true);
  }, ms);
}

function watched() {
  say("Running …");
  limited(RUNNING_MS, `Stopped: the run took longer than ${RUNNING_MS / 1000} s.`);
}

function play() {
  if (!seed.reportValidity()) {
    return;
  }
  run.disabled = true;
  stop.disabled = false;
  pictures.replaceChildren();
  output.hidden = true;
  files.scenario.hidden = files.result.hidden = true;
  if (worker === null) {
    begun();
  }
  if (isReady) {
    watched();
  } else {
    say("Loading Python …");
    limited(LOADING_MS, "Stopped: Python could not be loaded in time.");
  }
  worker.postMessage({ text: text.value, seed: seed.value === "" ? null : Number(seed.value) });
}

function heard(data) {
  if (data.kind === "ready") {
    isReady = true;
    watched();
    return;
  }
  if (data.kind === "broken") {
    ended();
    say(`The simulator broke off: ${data.error}`, true);
    return;
  }
  atRest();
  if (data.error !== undefined) {
    say(data.error, true);
    return;
  }
  show(data);
}

function show({ result, pictures: drawn, output: printed }) {
  const failed = result.scenarios.filter((each) => each.verdict !== "passed").length;
  const all = result.scenarios.length;
  say(failed ? `${failed} of ${all} failed.` : `${all === 1 ? "It" : `All ${all}`} passed.`, failed > 0);
  for (const html of drawn) {
    const figure = document.createElement("figure");
    figure.innerHTML = html;
    pictures.append(figure);
  }
  output.textContent = printed;
  output.hidden = false;
  offer(files.scenario, text.value, "application/yaml");
  offer(files.result, `${JSON.stringify(result, null, 2)}\n`, "application/json");
}

function offer(link, content, type) {
  URL.revokeObjectURL(link.href);
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.hidden = false;
}

function chosen() {
  text.value = scenarios[Number(choice.value)].text;
}

async function begin() {
  const answer = await fetch(new URL("playground.json", here));
  ({ scenarios } = await answer.json());
  for (const [index, { name }] of scenarios.entries()) {
    choice.append(new Option(name, String(index)));
  }
  chosen();
  choice.addEventListener("change", chosen);
  run.addEventListener("click", play);
  stop.addEventListener("click", () => {
    ended();
    say("Stopped.");
  });
  text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !run.disabled) {
      play();
    }
  });
  document.getElementById("playground-missing").hidden = true;
  document.getElementById("playground-app").hidden = false;
}

begin();
