// The what-if page: everything on it is the scenario file, shown in another way.

import {
  sentenceOf,
  showEvents,
  showExpected,
  showNumbers,
  showRuns,
  verdictOf,
} from "./answer.js";
import { Board } from "./board.js";
import { draw, frame, make, say } from "/static/shared/frame.js";
import { showFault } from "./fault.js";
import { controlOf, panelOf } from "./panels.js";
import { get, post } from "./server.js";
import { Timeline } from "./timeline.js";
import { durationText, hostValue } from "./words.js";

// What is typed is asked when nothing was typed for so long (ms).
const TYPED_MS = 300;
const TOAST_MS = 4000;
const LONG_TOAST_MS = 15000;
const DRAG_PX = 4;
// A file that is opened is read up to this size; the server says the rest.
const FILE_BYTES_MAX = 1 << 20;
const byId = (id) => document.getElementById(id);
const EMPTY = "Choose a fault to change it.";

const state = {
  answer: null,
  model: null,
  chosen: null,
  host: null,
  starts: [],
  slides: false,
  moved: null,
};
// One name for each page that is open, by which the server knows what replaces what.
const pageName = crypto.getRandomValues(new Uint32Array(4)).join("-");
let language = null;
let timeline = null;
let toastTimer = 0;
let typedTimer = 0;

const board = new Board(
  (question, signal) => post("/api/what-if", { ...question, page: pageName }, signal),
  shown,
  failed,
);

function toast(text, forMs = TOAST_MS) {
  byId("toast").textContent = text;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => (byId("toast").textContent = ""), forMs);
}

function change(edits, group = null) {
  board.change(edits, group);
}

function set(path, group) {
  return (key, value) => change([{ do: "set", path: [...path, key], value }], `${group}/${key}`);
}

// Show an answer everywhere.
function shown(answer) {
  showText();
  byId("back").disabled = !board.past.length;
  byId("forward").disabled = !board.future.length;
  const error = errorOf(answer);
  showError(error, answer);
  if (error || !answer.model) {
    return;
  }
  const first = state.model === null;
  state.answer = answer.answer;
  state.model = answer.model;
  if (!board.edits.length) {
    state.moved = null;
  } else if (state.moved !== null) {
    // This answer does not know yet how far the fault has gone meanwhile.
    moveEntry(state.moved);
  }
  const verdict = verdictOf(answer.answer);
  byId("verdict").hidden = false;
  byId("verdict").textContent = verdict.text;
  byId("verdict").className = `tag ${verdict.good ? "good" : "bad"}`;
  say(byId("sentence"), sentenceOf(answer.answer));
  showNumbers(byId("numbers"), answer.answer);
  showScenarios(answer);
  timeline.show(state.model, answer.answer.shown);
  showLegend();
  showRuns(byId("runs"), answer.answer, state.model.hosts, (seed) => board.ask({ show: seed }));
  showExpected(byId("expected"), state.model, answer.answer);
  showEvents(byId("events"), answer.answer);
  showChosen();
  showPanels();
  if (first) {
    document.body.classList.add("ready");
  }
}

// What the server says is wrong with the scenario; null: nothing.
function errorOf(answer) {
  return answer.error ? { message: answer.error, line: answer.line, column: answer.column } : null;
}

function failed(error) {
  if (error.name === "AbortError" || error.status === 409) {
    return;
  }
  showText();
  showError({ message: error.message, line: null }, null);
}

function showText() {
  const box = byId("text");
  if (document.activeElement !== box && box.value !== board.text) {
    box.value = board.text;
  }
  byId("file").textContent = board.file;
}

function showError(error, answer) {
  for (const id of ["error", "text-error"]) {
    const place = byId(id);
    place.hidden = error === null;
    place.replaceChildren();
    if (error !== null) {
      place.append(error.message);
      if (error.line) {
        const go = () => goTo(error.line, error.column);
        place.append(
          " ",
          make(
            "button",
            { type: "button", class: "plain", on: { click: go } },
            `Go to line ${error.line}`,
          ),
        );
      }
    }
  }
  document.body.classList.toggle("wrong", error !== null);
  if (error !== null && answer !== null && state.model === null) {
    byId("sentence").textContent = "There is no answer yet.";
  }
}

// Select a place in the text.
function goTo(line, column) {
  const box = byId("text");
  const lines = box.value.split("\n");
  const before = lines.slice(0, line - 1).reduce((sum, each) => sum + each.length + 1, 0);
  box.focus();
  box.setSelectionRange(before + column - 1, before + (lines[line - 1] || "").length);
  const height = box.scrollHeight / Math.max(1, lines.length);
  box.scrollTop = Math.max(0, (line - 4) * height);
}

function showScenarios(answer) {
  byId("scenario-field").hidden = answer.scenarios.length < 2;
  byId("scenario").replaceChildren(
    ...answer.scenarios.map((name, index) =>
      make("option", { value: index, selected: index === answer.scenario }, name),
    ),
  );
  byId("about").textContent = answer.model.about;
  keep("seed", answer.model.seed);
  keep("until", durationText(answer.model.until));
  const left = answer.answer.shown.left_out;
  byId("left-out").hidden = !left;
  byId("left-out").textContent =
    `${left} more hosts are not drawn; nothing or little happens to them.`;
}

// Set a field, unless somebody is typing there.
function keep(id, value) {
  const field = byId(id);
  if (document.activeElement !== field) {
    field.value = value;
  }
}

function showLegend() {
  const { look } = language;
  const lanes = state.answer.shown.lanes;
  const words = new Set(lanes.flatMap((lane) => [...lane.bars, ...lane.vm].map((bar) => bar.word)));
  const colours = { ...look.states, ...look.words };
  byId("legend").replaceChildren(
    ...Object.keys(colours)
      .filter((word) => words.has(word))
      .map((word) =>
        make(
          "li",
          {},
          draw(
            "svg",
            { width: 16, height: 10, "aria-hidden": "true" },
            draw("rect", { width: 16, height: 10, rx: 2, fill: colours[word] }),
          ),
          word,
        ),
      ),
  );
}

// The form of the chosen fault; what somebody types there is not replaced.
function showChosen() {
  const root = byId("fault");
  const entry = state.chosen === null ? undefined : state.model.timeline[state.chosen];
  if (entry === undefined) {
    state.chosen = null;
    root.replaceChildren(make("p", { class: "soft" }, EMPTY));
    return;
  }
  if (isTyping(root)) {
    return;
  }
  const hooks = { change, remove };
  again(root, () => showFault(root, language, entry, state.chosen, hooks, defaultHost()));
}

// Whether something was typed that nobody has read yet, or a slider is in somebody's hand.
function isTyping(root) {
  const element = document.activeElement;
  if (!root.contains(element)) {
    return false;
  }
  const isText = element.type === "text" || element.type === "number";
  return state.slides || (isText && element.value !== element.defaultValue);
}

// Draw a part anew, and give the focus back to the same place in it.
function again(root, draw) {
  const fields = () => [...root.querySelectorAll("input, select, button, summary")];
  const at = root.contains(document.activeElement) ? fields().indexOf(document.activeElement) : -1;
  draw();
  if (at >= 0 && fields()[at]) {
    fields()[at].focus({ preventScroll: true });
  }
}

function showPanels() {
  const { model } = state;
  const names = model.hosts.map((host) => String(host.name));
  if (!names.includes(state.host)) {
    state.host = names[0];
  }
  const index = names.indexOf(state.host);
  const list = byId("host");
  const hostnames = model.hosts.map((host) =>
    host.hostname === `host${host.id}`
      ? `host ${host.name}`
      : `host ${host.name} (${host.hostname})`,
  );
  list.replaceChildren(
    ...names.map((name, at) =>
      make("option", { value: name, selected: at === index }, hostnames[at]),
    ),
  );
  byId("remove-host").disabled = names.length < 2;
  const fill = (id, draw) => {
    const root = byId(id);
    if (!isTyping(root)) {
      again(root, () => root.replaceChildren(...draw()));
    }
  };
  fill("host-panel", () =>
    panelOf(language.host, model.hosts[index], set(["hosts", index], `host ${index}`)),
  );
  fill("engine-panel", () =>
    panelOf(language.engine, model.engine, set(["engine"], "engine"), model.hosts),
  );
  fill("world-panel", () => panelOf(language.world, model.world, set(["world"], "world")));
  byId("base").replaceChildren(
    ...language.policies.map((name) =>
      make("option", { value: name, selected: name === model.policy.base }, name),
    ),
  );
  fill("policy-panel", () =>
    language.policy
      .filter((group) => group.controls.length)
      .flatMap((group) => [
        make("h3", {}, group.title),
        ...group.controls.map((control) =>
          controlOf(control, model.policy[control.key], (value) =>
            set(["policy"], "policy")(control.key, value),
          ),
        ),
      ]),
  );
}

// The host to which a fault is added that was not dropped on one.
function defaultHost() {
  const { model } = state;
  const running = model.engine.running_on;
  return running === null || running === undefined ? hostValue(model.hosts[0].name) : running;
}

// The entry of a timeline that a verb begins with.
function entryOf(verb, at, hostName) {
  const entry = { at: durationText(at) };
  let value = verb.first;
  if (verb.needs_host === true || (verb.needs_host === null && hostName !== null)) {
    entry.host = hostName === null ? defaultHost() : hostValue(hostName);
  }
  if (verb.needs_host === null) {
    value = hostName === null ? "global" : verb.words_with_host[0];
  }
  entry[verb.name] = value;
  return entry;
}

function add(verb, at, hostName) {
  state.chosen = state.model.timeline.length;
  timeline.selected = state.chosen;
  change([{ do: "add", path: ["timeline"], value: entryOf(verb, at, hostName) }]);
  waitFor(state.chosen);
}

// Focus a fault as soon as it is drawn.
function waitFor(index) {
  const observer = new MutationObserver(() => {
    if (timeline.root.querySelector(`[data-index="${index}"]`)) {
      observer.disconnect();
      timeline.focus(index);
    }
  });
  observer.observe(timeline.root, { childList: true });
}

function remove(index) {
  state.chosen = null;
  timeline.selected = null;
  change([{ do: "remove", path: ["timeline", index] }]);
  byId("timeline-title").focus({ preventScroll: true });
  toast("Removed. Undo brings it back.");
}

// Move a fault in what the page knows, before the server does.
function moveEntry({ index, at, host }) {
  const entry = state.model.timeline[index];
  if (entry === undefined) {
    return;
  }
  const by = at - entry.at;
  entry.at = at;
  entry.moments = entry.moments.map((t) => t + by);
  if (host !== null) {
    entry.hosts = [host];
  }
}

const faultHooks = {
  select(index) {
    state.chosen = index;
    timeline.select(index);
    showChosen();
  },
  // The drawing shows the move at once, and the answer comes after it.
  move(index, at, hostName) {
    const edits = [{ do: "set", path: ["timeline", index, "at"], value: durationText(at) }];
    const before = state.model.timeline[index].hosts[0];
    if (hostName !== null && hostName !== before) {
      edits.push({ do: "set", path: ["timeline", index, "host"], value: hostValue(hostName) });
    }
    const last = state.moved !== null && state.moved.index === index ? state.moved.host : null;
    state.moved = { index, at, host: hostName === null ? last : hostName };
    moveEntry(state.moved);
    change(edits, `move ${index}`);
  },
  done(index) {
    timeline.select(index);
    timeline.focus(index);
  },
  remove,
  edit() {
    const first = byId("fault").querySelector("input, select");
    if (first) {
      first.focus();
    }
  },
};

// A chip of the palette: pressed, it adds a fault; dragged, it adds it where it is dropped.
function chip(verb) {
  const button = make(
    "button",
    { type: "button", class: "chip", "data-verb": verb.name, title: verb.about },
    verb.name.replaceAll("_", " "),
  );
  let from = null;
  let dragged = false;
  button.addEventListener("pointerdown", (event) => {
    from = event.button === 0 ? [event.clientX, event.clientY] : null;
    dragged = false;
    button.setPointerCapture(event.pointerId);
  });
  button.addEventListener("pointermove", (event) => {
    if (from === null) {
      return;
    }
    dragged = dragged || Math.hypot(event.clientX - from[0], event.clientY - from[1]) > DRAG_PX;
    if (dragged) {
      showGhost(event, verb);
    }
  });
  const end = (event) => {
    byId("ghost")?.remove();
    const lane =
      dragged && event.type === "pointerup" ? timeline.laneAt(event.clientX, event.clientY) : null;
    if (lane !== null && state.model) {
      add(verb, timeline.timeAt(event.clientX), lane.name);
    }
    from = null;
  };
  button.addEventListener("pointerup", end);
  button.addEventListener("pointercancel", end);
  button.addEventListener("click", () => {
    if (!dragged && state.model) {
      const last = Math.max(0, ...state.model.timeline.map((entry) => entry.at));
      const until = state.model.until;
      add(
        verb,
        Math.min(last + 60, until),
        verb.needs_host === false ? null : String(defaultHost()),
      );
    }
    dragged = false;
  });
  return button;
}

// What is dragged from the palette, under the pointer.
function showGhost(event, verb) {
  const ghost = byId("ghost") || make("div", { id: "ghost", "aria-hidden": "true" }, verb.name);
  document.body.append(ghost);
  ghost.style.left = `${event.clientX + 10}px`;
  ghost.style.top = `${event.clientY + 10}px`;
}

function save() {
  const url = URL.createObjectURL(new Blob([board.text], { type: "application/yaml" }));
  const anchor = make("a", { href: url, download: board.file });
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

async function copyLink() {
  try {
    const { link } = await post("/api/what-if/link", { text: board.text });
    history.replaceState(null, "", `#${link}`);
    try {
      await navigator.clipboard.writeText(location.href);
      toast("The link is copied. Whoever opens it sees this scenario.");
    } catch {
      toast("The link is in the address line: copy it from there.");
    }
  } catch (error) {
    toast(error.message);
  }
}

async function openFile(file) {
  if (file.size > FILE_BYTES_MAX) {
    toast(`${file.name} is too large for this page: he-fsm simulate plays it`);
    return;
  }
  const bytes = await file.arrayBuffer();
  try {
    state.chosen = null;
    timeline.selected = null;
    board.open(new TextDecoder("utf-8", { fatal: true }).decode(bytes), file.name);
    byId("source").selectedIndex = -1;
  } catch {
    toast(`${file.name} is no text in UTF-8`);
  }
}

function listen() {
  byId("save").addEventListener("click", save);
  byId("link").addEventListener("click", copyLink);
  byId("back").addEventListener("click", () => board.back());
  byId("forward").addEventListener("click", () => board.forward());
  byId("open").addEventListener("change", (event) => {
    const [file] = event.target.files;
    if (file) {
      openFile(file);
    }
    event.target.value = "";
  });
  byId("source").addEventListener("change", (event) => {
    const start = state.starts[Number(event.target.value)];
    board.open(start.text, start.file);
    toast(start.notes.join(" "));
  });
  byId("scenario").addEventListener("change", (event) => {
    state.chosen = null;
    board.ask({ scenario: Number(event.target.value), show: null });
  });
  byId("seed").addEventListener("change", (event) => {
    if (event.target.value !== "" && event.target.validity.valid) {
      change([{ do: "set", path: ["seed"], value: Number(event.target.value) }], "seed");
    }
  });
  byId("until").addEventListener("change", (event) => {
    const text = event.target.value.trim();
    change([text ? { do: "set", path: ["until"], value: text } : { do: "unset", path: ["until"] }]);
  });
  for (const radio of document.querySelectorAll("input[name=runs]")) {
    radio.addEventListener("change", () => board.ask({ runs: Number(radio.value), show: null }));
  }
  byId("host").addEventListener("change", (event) => {
    state.host = event.target.value;
    showPanels();
  });
  byId("add-host").addEventListener("click", () => {
    const ids = state.model.hosts.map((host) => host.id);
    const id = Math.max(...ids) + 1;
    state.host = String(id);
    change([{ do: "add", path: ["hosts"], value: { id } }]);
  });
  byId("remove-host").addEventListener("click", () => {
    const index = state.model.hosts.findIndex((host) => String(host.name) === state.host);
    change([{ do: "remove", path: ["hosts", index] }]);
  });
  byId("base").addEventListener("change", (event) => {
    change([{ do: "set", path: ["policy"], value: event.target.value }]);
  });
  byId("text").addEventListener("input", (event) => {
    clearTimeout(typedTimer);
    typedTimer = setTimeout(() => board.type(event.target.value), TYPED_MS);
  });
  byId("text").addEventListener("blur", showText);
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    const [file] = event.dataTransfer.files;
    if (file) {
      openFile(file);
    }
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches(
      "textarea, input:not([type=range], [type=checkbox], [type=radio])",
    );
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z" && !typing) {
      event.preventDefault();
      if (event.shiftKey) {
        board.forward();
      } else {
        board.back();
      }
    }
  });
  document.addEventListener("pointerdown", (event) => {
    state.slides = event.target.matches("input[type=range]");
  });
  for (const end of ["pointerup", "pointercancel"]) {
    document.addEventListener(end, () => {
      if (state.slides) {
        state.slides = false;
        showPanels();
        showChosen();
      }
    });
  }
  window.addEventListener("hashchange", openLink);
}

// Open the scenario that the address holds; false: it holds none, or none that can be read.
async function openLink() {
  const link = location.hash.slice(1);
  if (!link) {
    return false;
  }
  try {
    const answer = await post("/api/what-if", { link, page: pageName });
    if (!answer.text) {
      throw new Error(answer.error);
    }
    board.open(answer.text, "shared.yaml");
    byId("source").selectedIndex = -1;
    return true;
  } catch (error) {
    toast(`${error.message}. This is something else.`, LONG_TOAST_MS);
    return false;
  }
}

async function begin() {
  await frame();
  const [words, begun] = await Promise.all([
    get("/api/what-if/language"),
    get("/api/what-if/start"),
  ]);
  language = words;
  state.starts = begun.starts;
  timeline = new Timeline(byId("timeline"), language.look, faultHooks);
  document.querySelector(".palette").append(...language.verbs.map(chip));
  byId("source").append(
    ...state.starts.map((start, index) =>
      make("option", { value: index, disabled: !start.text }, start.title),
    ),
  );
  listen();
  if (!(await openLink())) {
    const index = state.starts.findIndex((start) => start.text);
    const notes = state.starts.slice(0, index + 1).flatMap((start) => start.notes);
    byId("source").value = index;
    board.open(state.starts[index].text, state.starts[index].file);
    if (notes.length) {
      toast(notes.join(" "), LONG_TOAST_MS);
    }
  }
}

begin().catch((error) => showError({ message: error.message, line: null }, null));
