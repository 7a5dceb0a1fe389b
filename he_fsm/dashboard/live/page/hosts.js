// The table of hosts: one row each, kept over changes, so that focus and selection stay.
import { dress, make, say, span } from "/static/shared/frame.js";

const STATES = {
  EngineUp: "good",
  EngineStarting: "warn",
  EngineMigratingAway: "warn",
  EngineStopping: "warn",
  LocalMaintenance: "care",
  GlobalMaintenance: "care",
  ScoreBlocked: "bad",
  Unknown: "bad",
};
const LIVES = { silent: "bad", stopped: "", unknown: "warn" };
const ENGINES = { good: "good", bad: "bad", paused: "bad", down: "" };
// On a narrow screen a row is a card; it stays a row for screen readers.
const CELL = { role: "cell" };
// With more hosts, a field to find one is shown.
const FEW = 12;

export class HostTable {
  constructor(key, context) {
    this.context = context;
    this.rows = new Map();
    this.body = make("tbody", { role: "rowgroup" });
    this.count = make("span.soft");
    this.wanted = make("input", {
      type: "search",
      placeholder: "name, id or state",
      "aria-label": "Show only hosts with this text",
      on: { input: () => this.filter() },
    });
    this.finder = make("label.controls", { hidden: true }, "Find ", this.wanted);
    const titles = ["host", "state", "score", "what it lacks", "engine", "record", "flags"];
    this.element = make(
      "section.panel",
      { "aria-labelledby": `hosts-${key}` },
      make("div.head", {}, make("h3", { id: `hosts-${key}` }, "Hosts"), this.count, this.finder),
      make(
        "div.wide",
        { tabindex: "0", role: "group", "aria-labelledby": `hosts-${key}` },
        make(
          "table.hosts.cards",
          { role: "table" },
          make(
            "thead",
            { role: "rowgroup" },
            make("tr", { role: "row" }, ...titles.map((text) => make("th", { scope: "col", role: "columnheader" }, text))),
          ),
          this.body,
        ),
      ),
    );
  }

  show(hosts, head, ages) {
    const ids = new Set(hosts.map((host) => host.id));
    for (const [id, row] of this.rows) {
      if (!ids.has(id)) {
        row.element.remove();
        this.rows.delete(id);
      }
    }
    let last = null;
    for (const host of hosts) {
      let row = this.rows.get(host.id);
      if (!row) {
        row = new HostRow(host.id);
        this.rows.set(host.id, row);
        if (last) last.after(row.element);
        else this.body.prepend(row.element);
      }
      row.show(host, head);
      last = row.element;
    }
    const living = hosts.filter((host) => host.life === "alive").length;
    say(this.count, `${living} of ${hosts.length} alive`);
    this.finder.hidden = hosts.length <= FEW;
    this.filter();
    this.tick(ages);
  }

  filter() {
    const wanted = this.finder.hidden ? "" : this.wanted.value.trim().toLowerCase();
    for (const row of this.rows.values()) row.element.hidden = !row.text.includes(wanted);
  }

  tick(ages) {
    const at = ages ? ages.at : 0;
    const passed = Math.max(0, this.context.now() - at);
    for (const [id, row] of this.rows) {
      const age = ages ? ages.hosts[id] : undefined;
      row.age(age === undefined ? null : age + passed);
    }
  }
}

class HostRow {
  constructor(id) {
    this.name = make("th", { scope: "row", role: "rowheader" });
    this.state = make("span");
    this.score = make("span.number");
    this.gauge = make("meter", { min: 0, max: 1, "aria-hidden": "true" });
    this.parts = make("td.parts", CELL);
    this.engine = make("span");
    this.record = make("td.number", CELL);
    this.flags = make("td.flags", CELL);
    this.element = make(
      "tr",
      { "data-host": id, role: "row" },
      this.name,
      make("td", CELL, this.state),
      make("td.score", CELL, this.score, this.gauge),
      this.parts,
      make("td", CELL, this.engine),
      this.record,
      this.flags,
    );
  }

  show(host, head) {
    const known = JSON.stringify([host, head && head.lease && head.lease.owner, head && head.host_id]);
    if (known === this.known) return;
    this.known = known;
    this.host = host;
    this.text = `${host.id} ${host.hostname || ""} ${host.state || ""} ${host.life || ""}`.toLowerCase();
    const here = head && head.host_id === host.id ? make("span.soft", {}, " (this host)") : null;
    this.name.replaceChildren(
      make("span.id", {}, `${host.id} `),
      make("span", {}, host.hostname || ""),
      ...(here ? [here] : []),
    );
    if (host.problem) {
      this.damaged(host);
      return;
    }
    const state = host.life === "alive" ? host.state || "no state" : host.life;
    dress(this.state, `tag ${host.life === "alive" ? STATES[host.state] || "" : LIVES[host.life]}`);
    say(this.state, state);
    say(this.score, String(host.score));
    this.gauge.hidden = false;
    this.gauge.max = Math.max(2400, host.score);
    this.gauge.value = host.score;
    this.parts.replaceChildren(...partNodes(host));
    const { condition } = host.engine;
    dress(this.engine, condition === "down" ? "soft" : `tag ${ENGINES[condition] ?? "warn"}`);
    say(this.engine, condition === "down" ? "not here" : condition);
    const owner = head && head.lease && head.lease.owner === host.id;
    this.flags.replaceChildren(
      ...[
        owner ? make("span.tag", {}, "lease") : null,
        host.maintenance ? make("span.tag.care", {}, "local maintenance") : null,
        host.text.length ? this.said(host.text) : null,
      ].filter(Boolean),
    );
  }

  /** Return all that a host says of itself; it stays open while its lines change. */
  said(lines) {
    if (!this.details) {
      this.lines = make("span");
      this.details = make("details", {}, make("summary.soft", {}, "all it says"), this.lines);
    }
    this.lines.replaceChildren(...lines.map((line) => make("span.soft.line", {}, line)));
    return this.details;
  }

  damaged(host) {
    dress(this.state, "tag bad");
    say(this.state, "can't be believed");
    say(this.score, "");
    this.gauge.hidden = true;
    this.parts.replaceChildren(`${host.problem}: ${host.detail}`);
    dress(this.engine, "");
    say(this.engine, "");
    this.flags.replaceChildren();
  }

  age(seconds) {
    const isOld = this.host && this.host.life === "silent";
    say(this.record, seconds === null ? (isOld ? "grows no more" : "") : `${span(seconds)} old`);
  }
}

function partNodes(host) {
  if (!host.parts.length) return [make("span.soft", {}, host.why)];
  return host.parts.map(({ points, name, why }) =>
    make("span.part", {}, make("span.number", {}, `${points} `), `${name}: ${why}`),
  );
}
