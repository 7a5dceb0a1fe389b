// The timeline: a lane for the engine and for each host, and the faults, which can be dragged.

import { draw } from "/static/shared/frame.js";
import { clockText, hostText, roundStep } from "./words.js";

const LABEL = 20;
const FAULTS = 25;
// About the width of a letter of a fault's words.
const LETTER = 7;
const WORDS_MAX = 34;
const MARKS = 15;
const BAR = 20;
const THIN = 6;
const SCORE = 26;
const BETWEEN = 14;
const TOP = 24;
const BOTTOM = 8;
const SIDE = 12;
// A pointer that moves less only clicks.
const DRAG_PX = 4;
const DEEDS = [
  "rule",
  "failure",
  "agent",
  "start",
  "migration",
  "notification",
  "problem",
  "liveness",
];

export class Timeline {
  // `look`: colours and marks. `hooks`: select(index), move(index, at, host), done(index),
  // remove(index), edit(index).
  constructor(root, look, hooks) {
    this.root = root;
    this.look = look;
    this.hooks = hooks;
    this.drag = null;
    this.selected = null;
    this.lanes = [];
    root.addEventListener("pointerdown", (event) => this.pointerDown(event));
    root.addEventListener("pointermove", (event) => this.pointerMove(event));
    root.addEventListener("pointerup", (event) => this.pointerUp(event));
    root.addEventListener("pointercancel", () => this.cancelDrag());
    root.addEventListener("keydown", (event) => this.keyDown(event));
    new ResizeObserver(() => this.draw()).observe(root.parentElement);
  }

  show(model, run) {
    this.model = model;
    this.run = run;
    this.draw();
  }

  select(index) {
    this.selected = index;
    this.draw();
  }

  get width() {
    return Math.max(280, this.root.parentElement.clientWidth);
  }

  x(t) {
    return SIDE + (t / this.run.until) * (this.width - 2 * SIDE);
  }

  // The time below a place of the window, rounded to what a pixel can mean.
  timeAt(clientX) {
    const box = this.root.getBoundingClientRect();
    const share = (clientX - box.left - SIDE) / (this.width - 2 * SIDE);
    const step = roundStep(this.run.until / (this.width - 2 * SIDE));
    const t = Math.round((share * this.run.until) / step) * step;
    return Math.min(Math.max(0, t), this.run.until);
  }

  // The lane below a place of the window; null: there is none.
  laneAt(clientX, clientY) {
    const box = this.root.getBoundingClientRect();
    if (clientX < box.left || clientX > box.right) {
      return null;
    }
    const y = clientY - box.top;
    return this.lanes.find((lane) => y >= lane.top && y < lane.bottom) || null;
  }

  draw() {
    if (!this.run) {
      return;
    }
    const focused = this.root.contains(document.activeElement)
      ? document.activeElement.dataset.index
      : undefined;
    this.root.replaceChildren();
    this.lanes = [];
    this.rows = this.layOut();
    let y = TOP;
    for (const lane of this.run.lanes) {
      y = this.drawLane(lane, y);
    }
    const height = y + BOTTOM;
    this.root.setAttribute("width", this.width);
    this.root.setAttribute("height", height);
    this.root.setAttribute("viewBox", `0 0 ${this.width} ${height}`);
    this.root.prepend(this.axis(height));
    this.drawFaults();
    if (focused !== undefined) {
      this.focus(Number(focused));
    }
  }

  focus(index) {
    const found = this.root.querySelector(`[data-index="${index}"]`);
    if (found) {
      found.focus({ preventScroll: true });
    }
  }

  axis(height) {
    const group = draw("g", { class: "axis", "aria-hidden": "true" });
    const step = roundStep((this.run.until * 90) / this.width);
    for (let t = 0; t <= this.run.until + 1e-6; t += step) {
      const x = this.x(t);
      group.append(draw("line", { x1: x, x2: x, y1: TOP - 4, y2: height }));
      const anchor = t === 0 ? "start" : x > this.width - 50 ? "end" : "middle";
      group.append(draw("text", { x, y: TOP - 9, "text-anchor": anchor }, clockText(t)));
    }
    return group;
  }

  drawLane(lane, top) {
    const group = draw("g", { class: "lane" });
    const band = draw("rect", { class: "band", x: 0, y: top, width: this.width });
    group.append(band);
    let y = top + LABEL;
    group.append(draw("text", { class: "label", x: SIDE, y: top + 15 }, lane.label));
    const place = { name: lane.name, top, faults: y + FAULTS / 2, label: lane.label };
    const rows = this.rows.get(lane.name);
    y += FAULTS * Math.max(1, rows === undefined ? 0 : rows.spans.length);
    const marks = lane.marks.filter((mark) => DEEDS.includes(mark.kind));
    if (marks.length) {
      this.drawMarks(group, marks, y + MARKS / 2);
      y += MARKS;
    }
    this.drawBars(group, lane.bars, y, BAR, true);
    y += BAR + 2;
    if (lane.vm.length) {
      this.drawBars(group, lane.vm, y, THIN, false);
      y += THIN + 2;
    }
    if (lane.lease.length) {
      this.drawBars(group, lane.lease, y, THIN - 2, false);
      y += THIN;
    }
    if (lane.name !== null) {
      this.drawScore(group, lane.scores, y + 4);
      y += 4 + SCORE;
    }
    place.bottom = y + BETWEEN;
    band.setAttribute("height", place.bottom - top - 2);
    this.lanes.push(place);
    this.root.append(group);
    return place.bottom;
  }

  colour(word) {
    return word === "held" ? this.look.lease : this.look.states[word] || this.look.words[word];
  }

  drawBars(group, bars, y, height, named) {
    for (const bar of bars) {
      const x = this.x(bar.start);
      const width = Math.max(1, this.x(bar.end) - x);
      const part = draw(
        "rect",
        { class: "bar", x, y, width, height, rx: 2, fill: this.colour(bar.word) },
        draw("title", {}, bar.text.join("\n")),
      );
      group.append(part);
      // About the width of a letter.
      if (named && bar.text[0].length * 6.6 + 10 < width) {
        const kind = bar.word === "no agent" ? "bar-text pale" : "bar-text";
        group.append(draw("text", { class: kind, x: x + 6, y: y + 14 }, bar.text[0]));
      }
    }
  }

  drawMarks(group, marks, y) {
    for (const mark of marks) {
      const look = this.look.marks[mark.kind];
      const x = this.x(mark.t);
      group.append(
        draw(
          "path",
          { d: look.path, fill: look.colour, transform: `translate(${x - 6} ${y - 6})` },
          draw("title", {}, `${clockText(mark.t)} ${mark.text}`),
        ),
      );
    }
  }

  drawScore(group, points, top) {
    const y = (score) => top + SCORE * (1 - Math.min(1, Math.max(0, score / this.run.score_max)));
    group.append(
      draw("line", {
        class: "zero",
        x1: this.x(0),
        x2: this.x(this.run.until),
        y1: top + SCORE,
        y2: top + SCORE,
      }),
    );
    let path = "";
    points.forEach((point, index) => {
      const end = index + 1 < points.length ? points[index + 1].t : this.run.until;
      if (point.score === null) {
        return;
      }
      const from = this.x(point.t);
      const to = this.x(end);
      const joins = index > 0 && points[index - 1].score !== null;
      path += `${joins ? "L" : "M"}${from} ${y(point.score)}H${to}`;
      if (to - from > 44) {
        const high = point.score > this.run.score_max / 2;
        const at = y(point.score) + (high ? 12 : -4);
        group.append(
          draw("text", { class: "score-text", x: from + 3, y: at }, String(point.score)),
        );
      }
    });
    group.append(draw("path", { class: "score", d: path, stroke: this.look.score }));
  }

  // The names of the lanes of a fault: its hosts' that are drawn, or the engine's (null).
  namesOf(entry) {
    const drawn = this.run.lanes.map((lane) => lane.name);
    const found = drawn.filter((name) => name !== null && entry.hosts.includes(name));
    return found.length ? found : [null];
  }

  // Where a fault is drawn: its lanes and its times; while it is dragged, those of the hand.
  placeOf(entry, index) {
    const drag = this.drag !== null && this.drag.index === index ? this.drag : null;
    const moments = entry.waits ? this.seenMoments(entry) : entry.moments;
    return {
      names: drag !== null && drag.lane !== null ? [drag.lane.name] : this.namesOf(entry),
      times: drag !== null ? [drag.at] : moments.length ? moments : [entry.at],
    };
  }

  wordsOf(entry) {
    const words = entry.verb === "set" ? entry.words.replace("monitors read ", "") : entry.words;
    return words.length > WORDS_MAX ? `${words.slice(0, WORDS_MAX - 2)}…` : words;
  }

  // Whether a fault's words stand on its left, as there is no room on its right.
  isLeft(x) {
    return x > this.width * 0.7;
  }

  // The row of each fault in each of its lanes, so that no two of them cover each other.
  layOut() {
    const rows = new Map();
    this.model.timeline.forEach((entry, index) => {
      const { names, times } = this.placeOf(entry, index);
      const x = this.x(Math.min(times[0], this.run.until));
      const wide = this.wordsOf(entry).length * LETTER + 20;
      const [from, to] = this.isLeft(x) ? [x - wide, x + 14] : [x - 14, x + wide];
      for (const name of names) {
        if (!rows.has(name)) {
          rows.set(name, { spans: [], of: new Map() });
        }
        const lane = rows.get(name);
        let row = lane.spans.findIndex((spans) => spans.every(([a, b]) => to < a || from > b));
        if (row < 0) {
          row = lane.spans.push([]) - 1;
        }
        lane.spans[row].push([from, to]);
        lane.of.set(index, row);
      }
    });
    return rows;
  }

  drawFaults() {
    const layer = draw("g", { class: "faults" });
    this.model.timeline.forEach((entry, index) => {
      const { names, times } = this.placeOf(entry, index);
      names.forEach((name, at) => {
        const lane = this.lanes.find((each) => each.name === name);
        const y = lane.faults + FAULTS * this.rows.get(name).of.get(index);
        times.slice(1).forEach((t) => layer.append(this.ghost(t, y)));
        layer.append(this.handle(entry, index, { name, t: times[0], y, isFirst: at === 0 }));
      });
    });
    this.root.append(layer);
  }

  // When a fault with conditions has happened in this run.
  seenMoments(entry) {
    const found = this.run.happened.filter(
      (event) => event.kind === "fault" && event.text === entry.words,
    );
    return [...new Set(found.map((event) => event.t))];
  }

  ghost(t, y) {
    return draw("path", { class: "ghost", d: `M${this.x(t) - 5} ${y - 4}h10l-5 8z` });
  }

  handle(entry, index, { name: laneName, t, y, isFirst }) {
    const x = this.x(Math.min(t, this.run.until));
    const where = entry.hosts.length ? `${entry.hosts.map(hostText).join(", ")}: ` : "";
    const name = `${entry.waits ? "with conditions" : clockText(t)}, ${where}${entry.words}`;
    const chosen = this.selected === index;
    const left = this.isLeft(x);
    const attributes = {
      class: `fault${chosen ? " chosen" : ""}${entry.waits ? " waits" : ""}`,
      "data-index": index,
      "data-host": laneName,
    };
    if (isFirst) {
      Object.assign(attributes, {
        role: "button",
        tabindex: "0",
        "aria-label": name,
        "aria-pressed": String(chosen),
        "aria-describedby": "timeline-help",
      });
    }
    return draw(
      "g",
      attributes,
      draw("rect", { class: "grip", x: x - 13, y: y - 12, width: 26, height: 24, rx: 5 }),
      draw("path", { class: "point", d: `M${x - 7} ${y - 6}h14l-7 12z` }),
      draw(
        "text",
        {
          class: "fault-text",
          x: left ? x - 16 : x + 16,
          y: y + 4,
          "text-anchor": left ? "end" : "start",
        },
        this.wordsOf(entry),
      ),
      draw("title", {}, name),
    );
  }

  indexOf(event) {
    const found = event.target.closest("[data-index]");
    return found === null ? null : Number(found.dataset.index);
  }

  pointerDown(event) {
    const index = this.indexOf(event);
    if (index === null || event.button !== 0) {
      return;
    }
    event.preventDefault();
    const entry = this.model.timeline[index];
    this.drag = {
      index,
      from: [event.clientX, event.clientY],
      at: entry.moments.length ? entry.moments[0] : entry.at,
      lane: null,
      moved: false,
    };
    this.root.setPointerCapture(event.pointerId);
    this.hooks.select(index);
    this.focus(index);
  }

  pointerMove(event) {
    const drag = this.drag;
    if (drag === null) {
      return;
    }
    const far = Math.hypot(event.clientX - drag.from[0], event.clientY - drag.from[1]);
    if (!drag.moved && far < DRAG_PX) {
      return;
    }
    drag.moved = true;
    const entry = this.model.timeline[drag.index];
    if (entry === undefined || entry.waits) {
      return;
    }
    drag.at = this.timeAt(event.clientX);
    const lane = this.laneAt(event.clientX, event.clientY);
    const moves = lane !== null && lane.name !== null && entry.hosts.length === 1;
    drag.lane = moves ? lane : null;
    this.hooks.move(drag.index, drag.at, moves ? lane.name : null);
    this.draw();
  }

  pointerUp() {
    const drag = this.drag;
    this.drag = null;
    if (drag !== null && drag.moved) {
      this.hooks.done(drag.index);
    }
  }

  cancelDrag() {
    this.drag = null;
  }

  keyDown(event) {
    const index = this.indexOf(event);
    if (index === null) {
      return;
    }
    const entry = this.model.timeline[index];
    const step = event.shiftKey ? 60 : event.altKey ? 1 : 10;
    const sideways = { ArrowLeft: -step, ArrowRight: step }[event.key];
    const upwards = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (sideways !== undefined) {
      const at = Math.min(Math.max(0, entry.at + sideways), this.run.until);
      this.hooks.move(index, at, null);
      this.hooks.done(index);
    } else if (upwards !== undefined && entry.hosts.length === 1) {
      const names = this.lanes.map((lane) => lane.name).filter((name) => name !== null);
      const next = names[names.indexOf(entry.hosts[0]) + upwards];
      if (next !== undefined) {
        this.hooks.move(index, entry.at, next);
        this.hooks.done(index);
      }
    } else if (event.key === "Delete" || event.key === "Backspace") {
      this.hooks.remove(index);
    } else if (event.key === "Enter" || event.key === " ") {
      this.hooks.select(index);
      this.hooks.edit(index);
    } else {
      return;
    }
    event.preventDefault();
  }
}
