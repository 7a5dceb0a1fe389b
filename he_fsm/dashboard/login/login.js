// The page that asks for the token. A link of the command's own has it behind the `#`, which browsers
// send to nobody.
import { say, send } from "/static/shared/frame.js";

const field = document.getElementById("token");

async function enter(token) {
  try {
    await send("/api/login", { token });
    location.replace("/");
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
if (given) {
  history.replaceState(null, "", "/login");
  enter(given);
} else {
  field.focus();
}
