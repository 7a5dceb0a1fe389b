// Sliders, switches and lists for the numbers of hosts, engine, surroundings and policy.

import { make } from "/static/shared/frame.js";

let made = 0;

// A key as people read it; the unit stands beside the field.
function nameOf(control) {
  return control.key.replace(/_s$/, "").replaceAll("_", " ");
}

function labelled(control, field, extra = null) {
  made += 1;
  const id = `control-${made}`;
  field.id = id;
  const unit = control.unit || (control.kind === "time" ? "s" : "");
  return make(
    "div",
    { class: "control", title: control.about || null },
    make("label", { for: id }, nameOf(control)),
    extra,
    field,
    unit ? make("span", { class: "unit" }, unit) : null,
  );
}

function number(control, value, set) {
  const isWord = control.word !== "" && value === control.word;
  const shown = isWord || value === null || value === undefined ? "" : Number(value);
  const top = Math.max(control.maximum, shown === "" ? 0 : shown);
  const name = nameOf(control);
  const box = make("input", {
    type: "number",
    value: shown,
    min: control.minimum,
    max: control.limit,
    step: "any",
    placeholder: isWord ? control.word : "",
  });
  const range = make("input", {
    type: "range",
    min: control.minimum,
    max: top,
    step: control.step,
    value: shown === "" ? control.minimum : shown,
    "aria-label": `${name}, slider`,
  });
  range.addEventListener("input", () => {
    box.value = range.value;
    set(Number(range.value));
  });
  box.addEventListener("change", () => {
    if (box.value !== "" && box.validity.valid) {
      range.value = box.value;
      set(Number(box.value));
    }
  });
  const row = labelled(control, box, range);
  if (control.word) {
    const never = make("input", { type: "checkbox", "aria-label": `${name}: ${control.word}` });
    never.checked = isWord;
    never.addEventListener("change", () => set(never.checked ? control.word : Number(range.value)));
    row.append(make("span", { class: "word" }, never, control.word));
  }
  return row;
}

function flag(control, value, set) {
  const box = make("input", { type: "checkbox" });
  box.checked = Boolean(value);
  box.addEventListener("change", () => set(box.checked));
  return labelled(control, box);
}

function words(control, value, set, choices) {
  const list = make(
    "select",
    {},
    ...choices.map(([key, text]) =>
      make("option", { value: key, selected: key === String(value ?? "") }, text),
    ),
  );
  list.addEventListener("change", () => set(list.value));
  return labelled(control, list);
}

function text(control, value, set) {
  const plain = value === null || value === undefined ? "" : value;
  const box = make("input", { type: "text", value: typeof plain === "object" ? "" : plain });
  box.addEventListener("change", () => box.value && set(box.value));
  return labelled(control, box);
}

// A control for one value. `set(value)` is called with what a scenario file gets.
export function controlOf(control, value, set, hosts = []) {
  if (control.kind === "flag") {
    return flag(control, value, set);
  }
  if (control.kind === "words") {
    return words(
      control,
      value,
      set,
      control.words.map((word) => [word, word]),
    );
  }
  if (control.kind === "host") {
    const named = hosts.map((host) => [String(host.name), `host ${host.name}`]);
    const change = (name) => set(name === "" ? null : /^\d+$/.test(name) ? Number(name) : name);
    return words(control, value, change, [["", "none"], ...named]);
  }
  if (control.kind === "text") {
    return text(control, value, set);
  }
  return number(control, value, (given) => set(control.kind === "time" ? `${given}s` : given));
}

// What a mapping of a scenario holds, a control for each key.
export function panelOf(controls, values, set, hosts = []) {
  return controls
    .filter((control) => typeof values[control.key] !== "object" || values[control.key] === null)
    .map((control) =>
      controlOf(control, values[control.key], (value) => set(control.key, value), hosts),
    );
}
