// Runs the simulator beside the page, so that the page can stop it at any time.
import { loadPyodide } from "./pyodide/pyodide.mjs";

const here = new URL("./", import.meta.url);

async function fetched(name) {
  const answer = await fetch(new URL(name, here));
  if (!answer.ok) {
    throw new Error(`${name}: ${answer.status} ${answer.statusText}`);
  }
  return answer;
}

async function prepared() {
  const { wheels } = await (await fetched("playground.json")).json();
  const python = await loadPyodide({ indexURL: new URL("pyodide/", here).href });
  for (const name of wheels) {
    python.unpackArchive(await (await fetched(`wheels/${name}`)).arrayBuffer(), "wheel");
  }
  python.runPython(await (await fetched("play.py")).text());
  return python.globals.get("play");
}

const ready = prepared();
ready.then(
  () => postMessage({ kind: "ready" }),
  (error) => postMessage({ kind: "broken", error: String(error) }),
);

onmessage = async ({ data }) => {
  try {
    const play = await ready;
    const answer = play(data.text, data.seed ?? undefined);
    postMessage({ kind: "played", ...JSON.parse(answer) });
  } catch (error) {
    postMessage({ kind: "broken", error: String(error) });
  }
};
