// What every page of the dashboard needs: elements, times in words, and how to ask the server.

/**
 * Make an element. Texts are always text: nothing that a host has written becomes markup.
 * @param {string} name the tag, with classes after points: `p.soft`
 * @param {object} attributes `on` holds listeners; `null` and `false` leave an attribute out
 * @param {...(Node|string|null)} children
 */
export function make(name, attributes = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  return fill(element, attributes, children);
}

/** Make an element of a drawing. */
export function draw(name, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function fill(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "on") {
      for (const [event, listener] of Object.entries(value)) {
        element.addEventListener(event, listener);
      }
    } else if (value !== null && value !== false && value !== undefined) {
      element.setAttribute(key, value === true ? "" : String(value));
    }
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Set an element's text, unless it is there already: a screen reader hears what changes. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Set an element's classes, unless they are so already. */
export function dress(element, classes) {
  if (element.getAttribute("class") !== classes) element.setAttribute("class", classes);
}

const PARTS = [
  [86400, "d"],
  [3600, "h"],
  [60, "min"],
  [1, "s"],
];

/** Return a length of time in its two largest units: `45 s`, `3 min 18 s`, `2 h 5 min`. */
export function span(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 120) return `${whole} s`;
  const index = PARTS.findIndex(([unit]) => whole >= unit);
  const [unit, name] = PARTS[index];
  const [smaller, smallName] = PARTS[index + 1];
  const rounded = Math.round(whole / smaller) * smaller;
  const rest = Math.round((rounded % unit) / smaller);
  const text = `${Math.floor(rounded / unit)} ${name}`;
  return rest ? `${text} ${rest} ${smallName}` : text;
}

/** Return a moment (seconds since 1970) as the reader's clock shows it; the day where it is another. */
export function clock(at) {
  const then = new Date(at * 1000);
  const time = then.toLocaleTimeString([], { hour12: false });
  return then.toDateString() === new Date().toDateString()
    ? time
    : `${then.toLocaleDateString()} ${time}`;
}

/** Have the reader log in, and come back to where he is. */
export function logIn() {
  location.assign(`/login?to=${encodeURIComponent(location.pathname)}${location.hash}`);
}

/** An error whose message is the server's own sentence. */
export class AskError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

async function answer(path, options) {
  let response;
  try {
    response = await fetch(path, { credentials: "same-origin", ...options });
  } catch {
    throw new AskError("the dashboard does not answer", 0);
  }
  const plain = await response.json().catch(() => ({}));
  if (response.status === 401) {
    logIn();
  }
  if (!response.ok) {
    throw new AskError(plain.error || `the dashboard answers ${response.status}`, response.status);
  }
  return plain;
}

let known = null;

/** Return what the server says of this browser: its sign, its user, what it may do. */
export function session() {
  known = known || answer("/api/session");
  known.catch(() => (known = null));
  return known;
}

/** Ask for something that changes nothing. */
export function ask(path) {
  return answer(path);
}

/** Send something. A sign of an earlier process is renewed once. */
export async function send(path, plain, again = true) {
  const { sign } = await session();
  try {
    return await answer(path, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-He-Fsm-Sign": sign },
      body: JSON.stringify(plain),
    });
  } catch (error) {
    if (!again || error.status !== 428) throw error;
    known = null;
    return send(path, plain, false);
  }
}

/** Fill the page's navigation, and its button to log out. */
export async function frame() {
  const found = await session();
  const nav = document.querySelector(".bar nav");
  if (nav && found.pages.length > 1) {
    nav.replaceChildren(
      ...found.pages.map(({ title, path }) =>
        make("a", { href: path, "aria-current": path === location.pathname ? "page" : null }, title),
      ),
    );
  }
  if (found.token && found.user) {
    const leave = async () => {
      await send("/api/logout", {});
      location.assign("/login");
    };
    document.querySelector(".bar").append(make("button", { type: "button", on: { click: leave } }, "Log out"));
  }
  return found;
}
