// Keeps the numbers of the overview up to date while the page is seen. Everything else works without it.
const place = document.querySelector("[data-live]");
const liveness = document.getElementById("liveness");
const ENDED = "Not live any more. Reload the page to go on.";
let source = null;

function show(id, text) {
  const element = document.getElementById(id);
  if (element && element.textContent !== text) element.textContent = text;
}

function showHealth(error, concerns) {
  const alarm = document.getElementById("error");
  show("error", error ? `The store does not answer: ${error}` : "");
  alarm.hidden = !error;
  const list = document.getElementById("concerns");
  list.hidden = error || concerns.length === 0;
  if (list.innerText !== concerns.join("\n")) {
    list.replaceChildren(...concerns.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
  }
  document.getElementById("well").hidden = error || concerns.length > 0;
}

function take(message) {
  const state = JSON.parse(message.data);
  showHealth(state.error, state.concerns ?? []);
  for (const [id, [value, note]] of Object.entries(state.tiles ?? {})) {
    show(`value-${id}`, value);
    show(`note-${id}`, note);
  }
  for (const [id, , lines, words] of state.graphs ?? []) {
    show(`words-${id}`, words);
    const drawn = document.querySelectorAll(`#graph-${id} polyline`);
    drawn.forEach((line, number) => line.setAttribute("points", lines[number]));
  }
  if (liveness) liveness.textContent = "Live.";
}

function stop(text) {
  source?.close();
  source = null;
  if (liveness) liveness.textContent = text;
}

function follow() {
  if (document.hidden) return stop("Paused while the page is not seen.");
  if (source) return;
  source = new EventSource(place.dataset.live);
  source.onmessage = take;
  source.onerror = () => {
    if (source.readyState === EventSource.CLOSED) return stop(ENDED); // refused: the operator is signed out
    if (liveness) liveness.textContent = "Not live: the connection is lost. The browser tries again.";
  };
  source.addEventListener("end", () => stop(ENDED));
}

document.addEventListener("visibilitychange", follow);
follow();
