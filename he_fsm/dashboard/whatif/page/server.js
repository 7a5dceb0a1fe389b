// Questions to the server. An answer of 422 says what is wrong with a scenario: it is an answer.

import { AskError, ask, logIn, session } from "/static/shared/frame.js";

let sign = null;

export const get = ask;

async function renewed() {
  ({ sign } = await ask("/api/session"));
  return sign;
}

export async function post(path, plain, signal = undefined) {
  sign = sign || (await session()).sign;
  const asked = () =>
    fetch(path, {
      method: "POST",
      credentials: "same-origin",
      headers: { "Content-Type": "application/json", "X-He-Fsm-Sign": sign },
      body: JSON.stringify(plain),
      signal,
    });
  let response = await asked();
  if (response.status === 428) {
    // The server was started again meanwhile.
    await renewed();
    response = await asked();
  }
  if (response.status === 401) logIn();
  const answer = await response.json().catch(() => ({}));
  if (response.ok || response.status === 422) return answer;
  throw new AskError(answer.error || `the dashboard answers ${response.status}`, response.status);
}
