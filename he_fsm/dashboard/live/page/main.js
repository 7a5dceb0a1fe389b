// The live page: one stream of changes for all clusters, and whether that stream lives.
import { clock, dress, frame, logIn, say, span } from "/static/shared/frame.js";
import { ClusterView } from "/static/live/cluster.js";

// The server sends a beat every 5 s. Without anything for so long, the link is taken for dead (ms).
const SILENT_MS = 12000;
const views = new Map();
let offset = 0;
let heardAt = 0;
let lastId = "";
let source = null;
let cutOffAt = null;
let me = { changes: false, user: "" };

/** The server's clock (seconds since 1970): the reader's own may be wrong. */
const now = () => Date.now() / 1000 + offset;

function heard() {
  heardAt = Date.now();
  if (cutOffAt !== null) {
    cutOffAt = null;
    document.body.classList.remove("cut-off");
  }
}

function open() {
  if (source) source.close();
  heardAt = Date.now();
  source = new EventSource(`/api/events${lastId ? `?last=${encodeURIComponent(lastId)}` : ""}`);
  source.addEventListener("clusters", (event) => {
    heard();
    const { order, now: at } = JSON.parse(event.data);
    offset = at - Date.now() / 1000;
    place(order);
    tick();
  });
  source.addEventListener("beat", (event) => {
    heard();
    offset = JSON.parse(event.data).now - Date.now() / 1000;
  });
  source.addEventListener("change", (event) => {
    heard();
    lastId = event.lastEventId;
    const { cluster, whole, values } = JSON.parse(event.data);
    views.get(cluster)?.change(values, whole);
    tick();
  });
  source.addEventListener("error", () => {
    cutOff();
    // A browser gives up for good where it is answered with an error: try again, and log in if needed.
    if (source.readyState === EventSource.CLOSED) setTimeout(reopen, 2000);
  });
}

async function reopen() {
  try {
    const answer = await fetch("/api/clusters", { headers: { Accept: "application/json" } });
    if (answer.status === 401) logIn();
  } catch {
    // The dashboard itself is away; the next try says more.
  }
  open();
}

function cutOff() {
  if (cutOffAt === null) cutOffAt = heardAt || Date.now();
  document.body.classList.add("cut-off");
  tick();
}

function place(order) {
  const main = document.getElementById("clusters");
  document.getElementById("waiting").hidden = true;
  for (const [key, view] of views) {
    if (!order.includes(key)) {
      view.element.remove();
      views.delete(key);
    }
  }
  for (const key of order) {
    if (!views.has(key)) views.set(key, new ClusterView(key, { now, tell, me, alone: order.length === 1 }));
    main.append(views.get(key).element);
  }
}

/** Tell a screen reader what is new, a sentence at a time. */
function tell(text) {
  say(document.getElementById("news"), text);
}

function tick() {
  const tag = document.getElementById("link-tag");
  if (cutOffAt !== null) {
    const seconds = (Date.now() - cutOffAt) / 1000;
    dress(tag, "tag bad");
    say(tag, `cut off since ${clock(cutOffAt / 1000)} (${span(seconds)}): what is shown is old`);
  } else if (views.size) {
    dress(tag, "tag good");
    say(tag, "live");
  }
  for (const view of views.values()) view.tick();
  const worst = [...views.values()].map((view) => view.title()).find(Boolean);
  if (worst) document.title = cutOffAt === null ? worst : `cut off - ${worst}`;
}

setInterval(() => {
  if (Date.now() - heardAt > SILENT_MS && source) {
    cutOff();
    open();
  }
  tick();
}, 1000);

// The stream does not wait for what only changes need.
open();
frame().then((found) => {
  me.changes = found.changes;
  me.user = found.user;
  for (const view of views.values()) view.mayChange();
}, () => {});
