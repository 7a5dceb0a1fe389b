// The page that asks for the token. A link of the command's own has it behind the `#`, which browsers
// send to nobody. Who was led here from another page (`?to=`) goes back to it: what stands behind the
// `#` then is that page's own.
import { say, send } from "/static/shared/frame.js";

const field = document.getElementById("token");
const wanted = new URLSearchParams(location.search).get("to");

/** Return the page to go to: one of this dashboard's own, whatever the link says. */
function target() {
  if (wanted === null) return "/";
  try {
    const found = new URL(wanted, location.origin);
    return found.origin === location.origin ? found.pathname + location.hash : "/";
  } catch {
    return "/";
  }
}

async function enter(token) {
  try {
    await send("/api/login", { token });
    location.replace(target());
  } catch (error) {
    say(document.getElementById("trouble"), error.message);
    field.select();
  }
}

document.getElementById("form").addEventListener("submit", (event) => {
  event.preventDefault();
  enter(field.value);
});

const given = location.hash.slice(1);
if (given && wanted === null) {
  history.replaceState(null, "", "/login");
  enter(given);
} else {
  field.focus();
}
