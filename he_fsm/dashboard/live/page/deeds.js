// What can be changed: maintenance and moves, each with what would happen before it is confirmed.
import { ask, make, say, send } from "/static/shared/frame.js";

const ENDS = [
  ["", "until somebody ends it"],
  ["30m", "for 30 minutes"],
  ["1h", "for 1 hour"],
  ["2h", "for 2 hours"],
  ["4h", "for 4 hours"],
  ["8h", "for 8 hours"],
  ["24h", "for 24 hours"],
];

export class Deeds {
  constructor(key, context) {
    this.key = key;
    this.context = context;
    this.buttons = make("div.buttons");
    this.result = make("p", { role: "status" });
    this.dialog = new Confirm(this);
    this.element = make(
      "section.panel.deeds.controls",
      { "aria-labelledby": `deeds-${key}`, hidden: true },
      make("h3", { id: `deeds-${key}` }, "Change"),
      this.buttons,
      this.result,
      this.dialog.element,
    );
  }

  update(head, hosts, source) {
    const may = this.context.me.changes && source && source.kind === "broker" && head && head.maintenance;
    this.element.hidden = !may;
    if (!may) return;
    const { maintenance: flags, host_id: here, verdict } = head;
    const others = hosts.filter((host) => host.id !== here && host.life === "alive" && !host.maintenance);
    const known = JSON.stringify([flags.local, flags.global, here, verdict.engine_on, others.map((host) => host.id)]);
    if (known === this.known) return;
    this.known = known;
    const isHere = verdict.engine_on === here;
    const where = verdict.engine_on === null ? "the engine is on no host" : `the engine is on host ${verdict.engine_on}: ask there`;
    this.buttons.replaceChildren(
      this.button(flags.local ? `End maintenance of host ${here}` : `Take host ${here} into maintenance`, {
        deed: "local",
        on: !flags.local,
      }),
      this.button(flags.global ? "End global maintenance" : "Begin global maintenance", {
        deed: "global",
        on: !flags.global,
      }),
      this.button(
        "Move the engine",
        { deed: "move", targets: others.map((host) => ({ id: host.id, name: host.hostname })) },
        isHere ? "" : where,
      ),
    );
  }

  button(text, wish, whyNot = "") {
    const button = make(
      "button",
      { type: "button", disabled: Boolean(whyNot), title: whyNot || null, on: { click: () => this.dialog.open(text, wish) } },
      text,
    );
    return whyNot ? make("span", {}, button, make("span.soft", {}, ` ${whyNot}`)) : button;
  }
}

class Confirm {
  constructor(deeds) {
    this.deeds = deeds;
    this.title = make("h3", { id: `confirm-${deeds.key}` });
    this.choice = make("p");
    this.answer = make("div.answer", { role: "status" });
    this.trouble = make("p.bad", { role: "alert" });
    this.go = make("button.main", { type: "button", on: { click: () => this.carryOut() } });
    const cancel = make("button", { type: "button", on: { click: () => this.element.close() } }, "Cancel");
    this.element = make(
      "dialog",
      { "aria-labelledby": this.title.id },
      this.title,
      this.choice,
      this.answer,
      this.trouble,
      make("p.buttons", {}, this.go, " ", cancel),
    );
  }

  open(text, wish) {
    this.wish = wish;
    this.asked = 0;
    say(this.title, text);
    say(this.go, text);
    say(this.trouble, "");
    this.choice.replaceChildren(...this.choices());
    this.element.showModal();
    this.predict();
  }

  choices() {
    const { deed, on, targets } = this.wish;
    this.field = null;
    if (deed === "move") {
      const options = [make("option", { value: "" }, "the best other host")];
      for (const { id, name } of targets) options.push(make("option", { value: id }, `host ${id} ${name}`));
      this.field = make("select", { on: { change: () => this.predict() } }, ...options);
      return [make("label", {}, "To ", this.field)];
    }
    if (!on) return [];
    this.field = make(
      "select",
      { on: { change: () => this.predict() } },
      ...ENDS.map(([value, text]) => make("option", { value }, text)),
    );
    return [make("label", {}, "It stays on ", this.field)];
  }

  /** Return the deed as the server takes it. */
  plain() {
    const { deed, on } = this.wish;
    const chosen = this.field ? this.field.value : "";
    if (deed === "move") return { deed, ...(chosen ? { to: Number(chosen) } : {}) };
    return { deed, on, ...(chosen ? { for: chosen } : {}) };
  }

  async predict() {
    const number = ++this.asked;
    this.go.disabled = true;
    this.answer.replaceChildren(make("p.soft", {}, "Asking the simulator what would happen \u2026"));
    const query = new URLSearchParams(Object.entries(this.plain()).map(([name, value]) => [name, String(value)]));
    try {
      const found = await ask(`/api/clusters/${this.deeds.key}/forecast?${query}`);
      if (number !== this.asked) return;
      this.answer.replaceChildren(...forecastNodes(found));
      this.go.disabled = false;
    } catch (error) {
      if (number !== this.asked) return;
      say(this.trouble, error.message);
      this.answer.replaceChildren(...this.withoutAnswer(error));
      return;
    }
    say(this.trouble, "");
  }

  /** What can't be predicted can be done all the same, by somebody who says so; or asked again. */
  withoutAnswer(error) {
    const again = make("button", { type: "button", on: { click: () => this.predict() } }, "Ask again");
    // What is refused now would be refused then.
    if (error.status === 409 || error.status === 400) return [again];
    const box = make("input", { type: "checkbox", on: { change: () => (this.go.disabled = !box.checked) } });
    return [again, make("p", {}, make("label", {}, box, " Do it without knowing what would happen"))];
  }

  async carryOut() {
    this.go.disabled = true;
    say(this.trouble, "");
    try {
      const { text } = await send(`/api/clusters/${this.deeds.key}/deeds`, this.plain());
      this.element.close();
      say(this.deeds.result, text);
    } catch (error) {
      say(this.trouble, error.message);
      this.go.disabled = false;
    }
  }
}

function forecastNodes({ well, answer, hosts, runs, notes }) {
  const rows = Object.entries(hosts).map(([id, { path, why }]) =>
    make("tr", {}, make("th", { scope: "row" }, `host ${id}`), make("td", {}, path.join(" \u2192 ")), make("td.soft", {}, why)),
  );
  return [
    make(`p.${well ? "good" : "bad"}`, {}, make("strong", {}, answer.charAt(0).toUpperCase() + answer.slice(1))),
    make("table", {}, make("caption.unseen", {}, "What each host would do"), make("tbody", {}, ...rows)),
    make("p.soft", {}, `The simulator's answer, from the cluster as it is now, in ${runs} ${runs === 1 ? "run" : "runs"}. Nothing has been changed yet.`),
    ...notes.map((note) => make("p.warn", {}, note)),
  ];
}
