// The last hours as lanes: the engine, then the hosts with their states, VMs, lease and score.
import { clock, draw, make, say, span } from "/static/shared/frame.js";

const SPANS = [
  [900, "15 min"],
  [3600, "1 h"],
  [6 * 3600, "6 h"],
  [24 * 3600, "24 h"],
];
const LABEL = 118;
const LANE = 40;
const ENGINE_LANE = 26;
const AXIS = 22;
// Of more hosts, those to which something happened have lanes.
const LANES_MAX = 12;
const COLOURS = {
  EngineUp: "good",
  EngineDown: "quiet",
  EngineStarting: "warn",
  EngineMigratingAway: "warn",
  EngineStopping: "warn",
  LocalMaintenance: "care",
  GlobalMaintenance: "care",
  ScoreBlocked: "bad",
  Unknown: "bad",
  silent: "bad",
  damaged: "bad",
  stopped: "none",
  good: "good",
  bad: "bad",
  down: "bad",
  paused: "bad",
};
const MEANINGS = [
  ["good", "engine up"],
  ["quiet", "standing by"],
  ["warn", "in between"],
  ["care", "maintenance"],
  ["bad", "in trouble"],
];

export class Lanes {
  constructor(key, context) {
    this.key = key;
    this.context = context;
    this.lanes = new Map();
    this.hosts = [];
    this.seconds = 900;
    this.isChosen = false;
    this.drawnAt = 0;
    this.note = make("p.soft");
    this.figure = make("div.figure", { tabindex: "0", role: "group", "aria-labelledby": `lanes-${key}` });
    this.choices = SPANS.map(([seconds]) =>
      make("input", {
        type: "radio",
        name: `span-${key}`,
        value: seconds,
        checked: seconds === this.seconds,
        on: { change: () => this.choose(seconds) },
      }),
    );
    const choices = this.choices.map((input, index) => make("label", {}, input, ` ${SPANS[index][1]}`));
    this.element = make(
      "section.panel",
      { "aria-labelledby": `lanes-${key}` },
      make(
        "div.head",
        {},
        make("h3", { id: `lanes-${key}` }, "The last hours"),
        make("fieldset.controls", {}, make("legend.unseen", {}, "How much of the past"), ...choices),
      ),
      this.figure,
      make(
        "ul.legend",
        { "aria-hidden": "true" },
        ...MEANINGS.map(([colour, text]) => make("li", {}, make(`span.swatch.${colour}`), text)),
        make("li", {}, make("span.swatch.lease"), "holds the lease"),
        make("li", {}, make("span.swatch.score"), "score"),
      ),
      this.note,
    );
    new ResizeObserver(() => this.redraw()).observe(this.figure);
  }

  choose(seconds) {
    this.isChosen = true;
    this.seconds = seconds;
    this.redraw();
  }

  show(lanes, hosts) {
    this.lanes = lanes;
    this.hosts = hosts;
    if (!this.isChosen) this.fit();
    this.redraw();
  }

  /** Show an hour, or less where less is known. */
  fit() {
    const begin = this.lanes.get("lane/engine")?.engine?.[0]?.[0];
    if (begin === undefined) return;
    this.seconds = this.context.now() - begin > SPANS[0][0] ? SPANS[1][0] : SPANS[0][0];
    for (const input of this.choices) input.checked = Number(input.value) === this.seconds;
  }

  tick() {
    // A pixel is a few seconds; more often than that nothing would be seen.
    const pause = Math.max(1, this.seconds / 1200);
    if (this.context.now() - this.drawnAt >= pause) this.redraw();
  }

  chosen() {
    const ids = this.hosts.map((host) => host.id);
    if (ids.length <= LANES_MAX) return ids;
    const changes = (id) => (this.lanes.get(`lane/${id}`)?.state || []).length;
    const busy = ids.filter((id) => changes(id) > 1 || this.lanes.get(`lane/${id}`)?.lease?.some(([, word]) => word));
    const others = ids.filter((id) => !busy.includes(id));
    return [...busy, ...others].slice(0, LANES_MAX).sort((one, other) => one - other);
  }

  redraw() {
    const width = Math.floor(this.figure.clientWidth);
    if (!width || !this.lanes.size) return;
    this.drawnAt = this.context.now();
    const ids = this.chosen();
    const names = new Map(this.hosts.map((host) => [host.id, host.hostname || ""]));
    const height = ENGINE_LANE + ids.length * LANE + AXIS;
    const label = width < 480 ? 62 : LABEL;
    const scale = new Scale(this.drawnAt - this.seconds, this.drawnAt, label, width - 6);
    const parts = [...ticks(scale, height, this.seconds), ...engineLane(this.lanes.get("lane/engine"), scale)];
    ids.forEach((id, index) => {
      const top = ENGINE_LANE + index * LANE;
      parts.push(...hostLane(id, names.get(id), this.lanes.get(`lane/${id}`) || {}, scale, top, label));
    });
    const drawing = draw(
      "svg",
      { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": this.words(ids) },
      ...parts,
    );
    this.figure.replaceChildren(drawing);
    const more = this.hosts.length - ids.length;
    say(this.note, more > 0 ? `Not drawn: ${more} more hosts, to which less happened.` : "");
  }

  /** Return in words what the drawing shows, for people who can't see it. */
  words(ids) {
    const rows = this.lanes.get("lane/engine")?.engine || [];
    const texts = rows.slice(-6).map(([at, word]) => `${clock(at)} ${word ? engineText(word) : "not known"}`);
    return `Timeline of the engine and of ${ids.length} hosts over ${span(this.seconds)}. Engine: ${texts.join("; ")}.`;
  }
}

class Scale {
  constructor(from, to, left, right) {
    Object.assign(this, { from, to, left, right });
  }

  x(at) {
    const share = (Math.min(Math.max(at, this.from), this.to) - this.from) / (this.to - this.from);
    return Math.round((this.left + share * (this.right - this.left)) * 10) / 10;
  }

  /** Return what of a row is within the span: start, end and word of each spell. */
  spells(row) {
    return (row || [])
      .map(([at, word], index, all) => ({ at, end: index + 1 < all.length ? all[index + 1][0] : this.to, word }))
      .filter(({ end, word }) => word !== null && end > this.from);
  }
}

function bars(row, scale, top, height, classOf, textOf, withText = false) {
  const found = [];
  for (const { at, end, word } of scale.spells(row)) {
    const x = scale.x(at);
    const width = Math.max(1, scale.x(end) - x);
    const text = textOf(word);
    found.push(
      draw(
        "rect",
        { x, y: top, width, height, rx: 2, class: `fill ${classOf(word)}` },
        draw("title", {}, `${text}: ${clock(at)} to ${end === scale.to ? "now" : clock(end)} (${span(end - at)})`),
      ),
    );
    if (withText && width > text.length * 6.6 + 8) {
      found.push(draw("text", { x: x + 5, y: top + height - 4, class: "inside" }, text));
    }
  }
  return found;
}

function engineText([condition, on]) {
  return on === null ? condition : `${condition} on host ${on}`;
}

function engineLane(lane, scale) {
  const title = draw("text", { x: 0, y: 16, class: "name" }, "engine");
  const colour = ([condition]) => COLOURS[condition] || "warn";
  return [title, ...bars(lane?.engine, scale, 3, 16, colour, engineText, true)];
}

function hostLane(id, name, lane, scale, top, label) {
  const found = [
    draw("line", { x1: 0, x2: scale.right, y1: top, y2: top, class: "rule" }),
    draw("text", { x: 0, y: top + 15, class: "name" }, `host ${id}`),
  ];
  if (label === LABEL && name) {
    found.push(draw("text", { x: 0, y: top + 30, class: "under" }, name.length > 18 ? `${name.slice(0, 17)}\u2026` : name));
  }
  const same = (word) => word;
  const colour = (word) => COLOURS[word] || "warn";
  found.push(...bars(lane.state, scale, top + 4, 16, colour, same, true));
  found.push(...bars(lane.vm, scale, top + 21, 5, colour, (word) => `engine VM ${word}`));
  found.push(...bars(lane.lease, scale, top + 27, 3, () => "lease", () => "holds the engine's lease"));
  found.push(...scoreLine(lane.score, scale, top + 31));
  return found;
}

/** Draw the score as a line of steps, 6 pixels high. */
function scoreLine(row, scale, top) {
  const spells = scale.spells(row);
  if (!spells.length) return [];
  const highest = Math.max(2400, ...spells.map(({ word }) => word));
  let path = "";
  let before = null;
  for (const { at, end, word } of spells) {
    const y = Math.round((top + 6 - (word / highest) * 6) * 10) / 10;
    path += before === at ? `V${y}` : `M${scale.x(at)} ${y}`;
    path += `H${scale.x(end)}`;
    before = end;
  }
  const text = spells.slice(-3).map(({ at, word }) => `${word} from ${clock(at)}`);
  return [draw("path", { d: path, class: "score" }, draw("title", {}, `score ${text.join(", ")}`))];
}

const STEPS = [60, 300, 600, 900, 1800, 3600, 7200, 10800, 21600];

function ticks(scale, height, seconds) {
  const room = Math.max(2, Math.floor((scale.right - scale.left) / 70));
  const step = STEPS.find((each) => seconds / each <= room) || STEPS[STEPS.length - 1];
  const found = [];
  // Whole minutes and hours of the reader's clock.
  const shift = new Date(scale.to * 1000).getTimezoneOffset() * 60;
  for (let at = Math.ceil((scale.from - shift) / step) * step + shift; at <= scale.to; at += step) {
    const x = scale.x(at);
    const text = new Date(at * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false });
    found.push(draw("line", { x1: x, x2: x, y1: 0, y2: height - AXIS, class: "tick" }));
    const anchor = x > scale.right - 20 ? "end" : "middle";
    found.push(draw("text", { x, y: height - 6, class: "time", "text-anchor": anchor }, text));
  }
  return found;
}
