// The answer: a sentence, numbers, all runs, what was expected, every event.

import { make, draw } from "/static/shared/frame.js";
import { clockText, hostText, plural, spanText } from "./words.js";

const HOST_COLOURS = ["#4f86c6", "#4fa873", "#d9812f", "#a387d6", "#3fa3a8", "#c05f80", "#8a7a3f"];
const ROW = 5;

function colourOf(hosts, name) {
  const index = hosts.findIndex((host) => String(host.name) === String(name));
  return HOST_COLOURS[Math.max(0, index) % HOST_COLOURS.length];
}

export function verdictOf(answer) {
  if (answer.expects) {
    const failed = answer.runs.filter((run) => !run.passed).length;
    const text =
      failed === 0
        ? "as expected"
        : answer.runs.length === 1
          ? "not as expected"
          : `${failed} of ${answer.runs.length} runs not as expected`;
    return { good: failed === 0, text };
  }
  return answer.forecast.well
    ? { good: true, text: answer.forecast.worst_s ? "comes back" : "never down" }
    : { good: false, text: answer.forecast.broken ? "not safe" : "does not come back" };
}

export function sentenceOf(answer) {
  const sentence = answer.sentence;
  const text = `${sentence.charAt(0).toUpperCase()}${sentence.slice(1)}.`;
  const missing = answer.asked - answer.runs.length;
  return missing
    ? `${text} ${missing} of ${answer.asked} runs were left out: they take too long here.`
    : text;
}

export function showNumbers(root, answer) {
  const totals = answer.shown.totals;
  const many = answer.runs.length > 1;
  const facts = many
    ? [
        ["runs", answer.runs.length],
        ["engine comes back", `${answer.forecast.comes_back} of ${answer.forecast.runs}`],
        ["downtime, median", spanText(answer.forecast.median_s)],
        ["downtime, worst", spanText(answer.forecast.worst_s)],
      ]
    : [
        ["downtime", spanText(totals.downtime)],
        ["longest outage", spanText(totals.longest_outage)],
        ["starts", totals.starts],
        ["migrations", totals.migrations],
        ["failed starts", totals.failed_starts],
        ["resets", totals.resets],
      ];
  root.replaceChildren(
    ...facts.map(([name, value]) =>
      make("div", {}, make("dt", {}, name), make("dd", {}, String(value))),
    ),
  );
}

// One thin row for each run: on which host the engine was good, and when on none.
export function showRuns(root, answer, hosts, choose) {
  root.hidden = answer.runs.length < 2;
  if (root.hidden) {
    root.replaceChildren();
    return;
  }
  const until = answer.shown.until;
  const sorted = [...answer.runs].sort(
    (one, other) => other.downtime - one.downtime || one.seed - other.seed,
  );
  const drawing = draw("svg", {
    viewBox: `0 0 1000 ${sorted.length * ROW}`,
    preserveAspectRatio: "none",
    class: "strip",
    role: "img",
    "aria-label": `Where the engine was in each of ${answer.runs.length} runs, the longest downtime first`,
  });
  sorted.forEach((run, row) => {
    for (const [start, end, host, word] of run.spells) {
      const good = word === "good" || word === "migrating";
      drawing.append(
        draw(
          "rect",
          {
            x: (start / until) * 1000,
            width: Math.max(1, ((end - start) / until) * 1000),
            y: row * ROW,
            height: ROW - 0.5,
            class: good ? "" : "away",
            fill: good ? colourOf(hosts, host) : null,
          },
          draw(
            "title",
            {},
            `seed ${run.seed}, ${clockText(start)}: ${word}${host ? ` on ${hostText(host)}` : ""}`,
          ),
        ),
      );
    }
  });
  const list = make(
    "select",
    { id: "show" },
    ...sorted.map((run) =>
      make(
        "option",
        { value: run.seed, selected: run.seed === answer.shown.seed },
        `seed ${run.seed}: down for ${spanText(run.downtime)}${run.passed ? "" : ", not as expected"}`,
      ),
    ),
  );
  list.addEventListener("change", () => choose(Number(list.value)));
  const names = [
    ...new Set(answer.runs.flatMap((run) => run.spells.map((spell) => spell[2]))),
  ].filter(Boolean);
  root.replaceChildren(
    make("h3", {}, `All ${plural(answer.runs.length, "run")}`),
    drawing,
    make(
      "ul",
      { class: "legend" },
      ...names.map((name) =>
        make(
          "li",
          {},
          draw(
            "svg",
            { width: 16, height: 10, "aria-hidden": "true" },
            draw("rect", { width: 16, height: 10, fill: colourOf(hosts, name) }),
          ),
          `good on ${hostText(name)}`,
        ),
      ),
      make(
        "li",
        {},
        draw(
          "svg",
          { width: 16, height: 10, "aria-hidden": "true" },
          draw("rect", { width: 16, height: 10, class: "away" }),
        ),
        "not good",
      ),
    ),
    make("label", { class: "field" }, make("span", {}, "timeline of"), list),
  );
}

export function showExpected(root, model, answer) {
  const failures = answer.shown.failures;
  root.hidden = !model.expect.length && !failures.length;
  const rows = model.expect.map((each) => {
    const failure = failures.find((one) => one.line === each.line && one.expected === each.text);
    return make(
      "li",
      { class: failure ? "failed" : "passed" },
      make("span", { class: "verdict" }, failure ? "failed" : "holds"),
      make("code", {}, each.text),
      failure
        ? make(
            "span",
            {},
            ` seen: ${failure.seen}${failure.at === null ? "" : `, at ${clockText(failure.at)}`}`,
          )
        : null,
    );
  });
  const rules = failures
    .filter((failure) => failure.expected.startsWith("rule "))
    .map((failure) =>
      make(
        "li",
        { class: "failed" },
        make("span", { class: "verdict" }, failure.expected),
        ` ${failure.seen}`,
      ),
    );
  root.replaceChildren(make("h3", {}, "Expectations"), make("ul", {}, ...rules, ...rows));
}

export function showEvents(root, answer) {
  const { happened, events } = answer.shown;
  root.replaceChildren(
    make("summary", {}, `All ${plural(events, "event")} of this run, with reasons`),
    make(
      "div",
      { class: "wide", tabindex: "0", role: "region", "aria-label": "events" },
      make(
        "table",
        {},
        make(
          "thead",
          {},
          make(
            "tr",
            {},
            ...["time", "where", "what", "why"].map((name) => make("th", { scope: "col" }, name)),
          ),
        ),
        make(
          "tbody",
          {},
          ...happened.map((event) =>
            make(
              "tr",
              {},
              make("td", { class: "number" }, clockText(event.t)),
              make("td", {}, event.where),
              make("td", {}, event.kind),
              make("td", {}, event.text),
            ),
          ),
        ),
      ),
    ),
    happened.length < events
      ? make("p", { class: "soft" }, `The first ${happened.length} are shown.`)
      : null,
  );
}
