// One cluster: its verdict, what is wrong, the facts, and the parts below.
import { clock, dress, make, say, span } from "/static/shared/frame.js";
import { Deeds } from "/static/live/deeds.js";
import { HostTable } from "/static/live/hosts.js";
import { Lanes } from "/static/live/lanes.js";

const LEVELS = { good: "good", degraded: "warn", down: "bad", unknown: "bad" };
// Kinds of happenings that are many and matter little.
const DETAILS = new Set(["score", "lease"]);
const KINDS = {
  state: "state",
  alarm: "alarm",
  engine: "engine",
  alive: "host",
  maintenance: "maintenance",
  slot: "whiteboard",
  storage: "storage",
  lease: "lease",
  score: "score",
};
const SHOWN_MAX = 25;
// On a narrow screen a row is a card; it stays a row for screen readers.
const CELL = { role: "cell" };

export class ClusterView {
  constructor(key, context) {
    this.key = key;
    this.context = context;
    this.values = new Map();
    this.verdictTold = null;
    this.showsDetails = false;
    this.showsAll = false;
    this.build();
  }

  build() {
    const id = (name) => `${name}-${this.key}`;
    this.heading = make("h2", { id: id("title") });
    this.kind = make("span.tag.care", { hidden: true });
    this.verdict = make("p.verdict");
    this.trouble = make("p.trouble.bad", { role: "alert", hidden: true });
    this.since = make("p.soft");
    this.warnings = make("ul.warnings", { "aria-label": "Warnings" });
    this.facts = make("dl.facts");
    this.factNodes = new Map();
    this.banner = make("div.banner.panel", {}, this.verdict, this.since, this.trouble, this.warnings);
    this.hosts = new HostTable(this.key, this.context);
    this.lanes = new Lanes(this.key, this.context);
    this.deeds = new Deeds(this.key, this.context);
    this.monitors = make("tbody");
    this.monitorPanel = make(
      "details.panel",
      {},
      make("summary", {}, make("h3", {}, "Monitors of this host")),
      make(
        "table",
        {},
        make("caption.unseen", {}, "What the monitors of this host last read"),
        make("thead", {}, row("th", ["monitor", "value", "age", "fault"], { scope: "col" })),
        this.monitors,
      ),
    );
    this.eventRows = make("tbody", { role: "rowgroup" });
    this.more = make("button", { type: "button", on: { click: () => this.toggleAll() } });
    const details = make("input", {
      type: "checkbox",
      on: { change: (event) => this.toggleDetails(event.target.checked) },
    });
    this.eventPanel = make(
      "section.panel.events",
      { "aria-labelledby": id("events") },
      make(
        "div.head",
        {},
        make("h3", { id: id("events") }, "What happened, and why"),
        make("label.controls", {}, details, " scores and leases too"),
      ),
      make(
        "div.wide",
        { tabindex: "0", role: "group", "aria-labelledby": id("events") },
        make(
          "table.cards",
          { role: "table" },
          make(
            "thead",
            { role: "rowgroup" },
            row("th", ["time", "host", "kind", "what, and why"], { scope: "col", role: "columnheader" }),
          ),
          this.eventRows,
        ),
      ),
      this.more,
    );
    this.element = make(
      "section.cluster",
      { "aria-labelledby": id("title") },
      make("div.head", {}, this.heading, this.kind),
      this.banner,
      this.facts,
      this.deeds.element,
      this.hosts.element,
      this.lanes.element,
      this.eventPanel,
      this.monitorPanel,
    );
  }

  mayChange() {
    this.deeds.update(this.values.get("head"), this.hostList(), this.values.get("source"));
  }

  change(values, whole) {
    if (whole) this.values.clear();
    for (const [key, value] of Object.entries(values)) {
      if (value === null) this.values.delete(key);
      else this.values.set(key, value);
    }
    const touched = (start) => whole || Object.keys(values).some((key) => key.startsWith(start));
    if (touched("source")) this.showSource();
    if (touched("head") || touched("trouble")) this.showHead();
    if (touched("host/") || touched("ages") || touched("head")) this.showHosts();
    if (touched("lane/")) this.lanes.show(this.lanesOf(), this.hostList());
    if (touched("event/")) this.showEvents();
  }

  hostList() {
    return [...this.values]
      .filter(([key]) => key.startsWith("host/"))
      .map(([, value]) => value)
      .sort((one, other) => one.id - other.id);
  }

  lanesOf() {
    return new Map([...this.values].filter(([key]) => key.startsWith("lane/")));
  }

  showSource() {
    const { title, kind } = this.values.get("source") || { title: this.key, kind: "" };
    say(this.heading, title);
    const isReal = kind === "broker";
    this.kind.hidden = isReal;
    say(this.kind, kind === "demo" ? "demo: nothing of this is real" : "read from the whiteboard itself");
  }

  showHead() {
    const head = this.values.get("head");
    if (!head) return;
    const level = LEVELS[head.verdict.level];
    dress(this.banner, `banner panel ${level}`);
    say(this.verdict, short(head.verdict));
    if (this.verdictTold !== null && this.verdictTold !== head.verdict.level + head.verdict.engine_on) {
      this.context.tell(head.verdict.line);
    }
    this.verdictTold = head.verdict.level + head.verdict.engine_on;
    const items = head.warnings.map(({ level: worth, text }) =>
      make("li", {}, make(`span.tag.${worth}`, {}, worth === "bad" ? "alarm" : "warning"), " ", text),
    );
    if (this.warnings.textContent !== items.map((item) => item.textContent).join("")) {
      this.warnings.replaceChildren(...items);
    }
    this.warnings.hidden = !items.length;
    this.showMonitors(head.monitors || {});
    this.deeds.update(head, this.hostList(), this.values.get("source"));
    this.tick();
  }

  showMonitors(monitors) {
    const found = Object.entries(monitors);
    this.monitorPanel.hidden = !found.length;
    const rows = found.map(([name, { value, age_s: age, fault }]) =>
      make(
        "tr",
        {},
        make("th", { scope: "row" }, name),
        make("td.number", {}, valueText(value)),
        make("td.number", {}, span(age)),
        make("td.bad", {}, fault || ""),
      ),
    );
    this.monitors.replaceChildren(...rows);
  }

  showHosts() {
    this.hosts.show(this.hostList(), this.values.get("head"), this.values.get("ages"));
  }

  toggleDetails(shows) {
    this.showsDetails = shows;
    this.showEvents();
  }

  toggleAll() {
    this.showsAll = !this.showsAll;
    this.showEvents();
  }

  showEvents() {
    const found = [...this.values]
      .filter(([key]) => key.startsWith("event/"))
      .map(([key, value]) => ({ number: Number(key.slice(6)), ...value }))
      .filter((event) => this.showsDetails || !DETAILS.has(event.kind))
      .sort((one, other) => other.at - one.at || other.number - one.number);
    const shown = this.showsAll ? found : found.slice(0, SHOWN_MAX);
    const rows = shown.map((event) =>
      make(
        "tr",
        { role: "row" },
        make("td.number", CELL, make("time", { datetime: new Date(event.at * 1000).toISOString() }, clock(event.at))),
        make("td", CELL, event.host === null ? "cluster" : `host ${event.host}`),
        make("td", CELL, make(`span.tag${event.level ? `.${event.level}` : ""}`, {}, KINDS[event.kind] || event.kind)),
        make("td.broad", CELL, event.text),
      ),
    );
    if (!rows.length) rows.push(make("tr", {}, make("td.soft", { colspan: 4 }, "Nothing has happened since this dashboard looks.")));
    this.eventRows.replaceChildren(...rows);
    this.more.hidden = found.length <= SHOWN_MAX;
    say(this.more, this.showsAll ? `Show the last ${SHOWN_MAX}` : `Show all ${found.length}`);
  }

  fact(name, text, level = "") {
    let node = this.factNodes.get(name);
    if (!node) {
      node = make("dd");
      this.factNodes.set(name, node);
      this.facts.append(make("div.panel", {}, make("dt", {}, name), node));
    }
    say(node, text);
    dress(node, level);
  }

  /** Show what grows or shrinks with time: ages, what is left of a lease. */
  tick() {
    const head = this.values.get("head");
    if (!head || head.at === undefined) {
      this.showTrouble();
      return;
    }
    const passed = Math.max(0, this.context.now() - head.at);
    const { verdict, lease, agent, maintenance } = head;
    const on = verdict.engine_on === null ? "" : ` on host ${verdict.engine_on}`;
    const since = verdict.since ? Date.parse(verdict.since) / 1000 : null;
    const spell = since === null ? "" : `, for ${span(this.context.now() - since)}${verdict.earlier ? " or longer" : ""}`;
    this.fact("Engine", `${verdict.engine}${on}${spell}`, LEVELS[verdict.level]);
    const isOutside = lease === null && !head.host_id;
    this.fact("Lease", isOutside ? "not read: --leases names it" : leaseText(lease, passed), lease === null && !isOutside ? "bad" : "");
    this.fact("Maintenance", maintenanceText(maintenance, head.host_id, this.context.now()), maintenance.global ? "warn" : "");
    this.fact(...agentFact(head, passed));
    if (head.read_age_s !== null) {
      const isBad = head.storage !== "ok";
      this.fact("Whiteboard", `${isBad ? "can't be read; last" : "read"} ${span(head.read_age_s + passed)} ago`, isBad ? "bad" : "");
    }
    say(this.since, since === null ? "" : `since ${clock(since)}${verdict.earlier ? " or earlier" : ""}`);
    this.showTrouble();
    this.hosts.tick(this.values.get("ages"));
    this.lanes.tick();
  }

  showTrouble() {
    const { text, since } = this.values.get("trouble") || { text: "", since: null };
    this.trouble.hidden = !text;
    this.element.classList.toggle("stale", Boolean(text));
    if (!text) return;
    const head = this.values.get("head");
    const known = head && head.at ? ` What is shown is ${span(this.context.now() - head.at)} old.` : "";
    // The time is not a part of what is announced.
    const sentence = `No news since ${clock(since)}: ${text}.`;
    if (this.trouble.dataset.text !== sentence) {
      this.trouble.dataset.text = sentence;
      this.old = make("span", { "aria-live": "off" });
      this.trouble.replaceChildren(sentence, this.old);
    }
    say(this.old, known);
  }

  /** Return what the window is called: the verdict in three words. */
  title() {
    const head = this.values.get("head");
    if (!head) return "";
    const { engine, engine_on: on } = head.verdict;
    return `${engine}${on === null ? "" : ` on host ${on}`} - he_fsm`;
  }
}

function row(tag, texts, attributes) {
  return make("tr", { role: "row" }, ...texts.map((text) => make(tag, attributes, text)));
}

/** Return the verdict without its date, which stands below it, and its warnings, which follow. */
function short(verdict) {
  const text = verdict.line
    .split("; but ")[0]
    .replace(/ since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d( or earlier)?/, "");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function valueText(value) {
  if (value === null || value === undefined) return "none yet";
  return typeof value === "number" ? String(Math.round(value * 1000) / 1000) : JSON.stringify(value).replace(/^"|"$/g, "");
}

function leaseText(lease, passed) {
  if (lease === null) return "not known: the lease manager does not answer";
  if (lease.owner === null) return "free";
  let text = `host ${lease.owner}`;
  if (lease.free_in_s !== null) return `${text} no longer renews it; free in ${span(lease.free_in_s - passed)}`;
  if (lease.renewal_age_s !== null) text += `, renewed ${span(lease.renewal_age_s + passed)} ago`;
  if (lease.runs_out_in_s !== null) text += `; ${span(lease.runs_out_in_s - passed)} left unless renewed`;
  return text;
}

const FLAGS = { true: "on", false: "off", null: "unknown" };

function endText(until, now) {
  if (!until) return "";
  return until > now ? ` for ${span(until - now)} more` : ", its time is over";
}

function maintenanceText(flags, here, now) {
  const everywhere = `global ${FLAGS[flags.global]}${endText(flags.global_until, now)}`;
  return here ? `${everywhere}; host ${here} ${FLAGS[flags.local]}${endText(flags.local_until, now)}` : everywhere;
}

function agentFact(head, passed) {
  const { agent, host_id: here } = head;
  if (!here) return ["Seen by", "this dashboard: no agent of this host"];
  const name = `Agent of host ${here}`;
  if (agent.age_s === undefined) return [name, "has not reported since the broker began", "bad"];
  const text = `${agent.state}: ${agent.why} (${span(agent.age_s + passed)} ago)`;
  return agent.stale ? [name, `reports no more; it was ${text}`, "bad"] : [name, text, ""];
}
