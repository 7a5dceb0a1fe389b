// The form of one fault: when, where, what, how often.

import { make } from "/static/shared/frame.js";
import { controlOf } from "./panels.js";
import { durationText, hostsValue } from "./words.js";

function field(label, element) {
  return make("label", { class: "field" }, make("span", {}, label), element);
}

function input(value, placeholder, changed) {
  const box = make("input", { type: "text", value, placeholder, autocomplete: "off" });
  box.addEventListener("change", () => changed(box.value.trim()));
  return box;
}

function choice(words, chosen, changed) {
  const list = make(
    "select",
    {},
    ...words.map((word) => make("option", { value: word, selected: word === chosen }, word)),
  );
  list.addEventListener("change", () => changed(list.value));
  return list;
}

// The words that fit: maintenance of a host and of the cluster have others.
function wordsOf(verb, entry) {
  const all = verb.words.map((each) => each.word);
  if (!verb.words_with_host.length) {
    return all;
  }
  return all.filter((word) => verb.words_with_host.includes(word) === entry.hosts.length > 0);
}

function valueFields(verb, entry, set) {
  if (verb.keys.length) {
    return verb.keys.map((control) => {
      const has = control.key in entry.value;
      const box = make("input", { type: "checkbox", "aria-label": `change ${control.key}` });
      box.checked = has;
      const value = has ? entry.value[control.key] : control.usual;
      const others = Object.keys(entry.value).filter((key) => key !== control.key);
      box.disabled = has && !others.length;
      box.addEventListener("change", () => {
        const next = { ...entry.value };
        if (box.checked) {
          next[control.key] = value;
        } else {
          delete next[control.key];
        }
        set(next);
      });
      const row = controlOf(control, value, (given) =>
        set({ ...entry.value, [control.key]: given }),
      );
      row.prepend(box);
      return row;
    });
  }
  if (verb.number) {
    return [controlOf({ ...verb.number, key: "how many" }, entry.value, set)];
  }
  if (!verb.words.length) {
    return [field("value", input(String(entry.value), "+1h, or rate 1.01", set))];
  }
  const [word] = String(entry.value).split(" ");
  const rest = String(entry.value).slice(word.length + 1);
  const chosen = verb.words.find((each) => each.word === word);
  const fields = [
    field(
      "what",
      choice(wordsOf(verb, entry), word, (next) => {
        const form = verb.words.find((each) => each.word === next);
        set(form.first ? `${next} ${form.first}` : form.is_host ? `${next} 1` : next);
      }),
    ),
  ];
  if (chosen && chosen.argument !== "none") {
    const label = chosen.is_host ? "to host" : "how much";
    fields.push(
      field(
        label,
        input(rest, "", (given) => set(given ? `${word} ${given}` : word)),
      ),
    );
  }
  return fields;
}

// The edits that make an entry one of another verb.
function otherVerb(index, entry, verb, host) {
  const at = (key) => ["timeline", index, key];
  const edits = [{ do: "set", path: at(verb.name), value: verb.first }];
  edits.push({ do: "unset", path: at(entry.verb) });
  if (verb.needs_host === true && !entry.hosts.length) {
    edits.push({ do: "set", path: at("host"), value: host });
  }
  if (verb.needs_host === false && entry.hosts.length) {
    edits.push({ do: "unset", path: at("host") });
  }
  if (verb.needs_host === null && !entry.hosts.length) {
    edits[0].value = "global";
  }
  return edits;
}

// Fill the form for one entry. `hooks`: change(edits), remove(index).
export function showFault(root, language, entry, index, hooks, host) {
  const verb = language.verbs.find((each) => each.name === entry.verb);
  const path = (key) => ["timeline", index, key];
  const set = (key) => (value) =>
    hooks.change([{ do: "set", path: path(key), value }], `${index}/${key}`);
  const orNothing = (key, before) => (text) => {
    if (text) {
      set(key)(/^\d+$/.test(text) ? Number(text) : text);
    } else if (before !== null) {
      hooks.change([{ do: "unset", path: path(key) }], null);
    }
  };
  const repeat = make(
    "details",
    { open: entry.every !== null || entry.for !== null },
    make("summary", {}, "Again, or for a time"),
    field(
      "every",
      input(
        entry.every === null ? "" : durationText(entry.every),
        "60s",
        orNothing("every", entry.every),
      ),
    ),
    field(
      "times",
      input(
        entry.times === null || entry.every === null ? "" : entry.times,
        "always",
        orNothing("times", entry.times),
      ),
    ),
    field(
      "for",
      input(
        entry.for === null ? "" : durationText(entry.for),
        "until it is changed",
        orNothing("for", entry.for),
      ),
    ),
  );
  const hosts = entry.hosts.join(", ");
  root.replaceChildren(
    make("h3", {}, entry.waits ? `${entry.words} (with conditions, see the text)` : entry.words),
    make(
      "div",
      { class: "fields" },
      field(
        entry.waits ? "after them" : "at",
        input(durationText(entry.at), "1m30s", (text) => text && set("at")(text)),
      ),
      verb.needs_host === false
        ? null
        : field(
            "hosts",
            input(hosts, "1, 2-4 or all", (text) => text && set("host")(hostsValue(text))),
          ),
      field(
        "verb",
        choice(
          language.verbs.map((each) => each.name),
          entry.verb,
          (name) =>
            hooks.change(
              otherVerb(
                index,
                entry,
                language.verbs.find((each) => each.name === name),
                host,
              ),
              null,
            ),
        ),
      ),
      ...valueFields(verb, entry, set(entry.verb)),
    ),
    repeat,
    make(
      "p",
      { class: "buttons" },
      make(
        "button",
        { type: "button", class: "danger", on: { click: () => hooks.remove(index) } },
        "Remove this fault",
      ),
    ),
  );
}
