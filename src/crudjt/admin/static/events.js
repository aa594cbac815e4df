// Puts new events above the others while the page is seen.
const list = document.getElementById("events");
const liveness = document.getElementById("liveness");
const KEPT = 200;
const ENDED = "Not live any more. Reload the page to go on.";
let source = null;
let address = list.dataset.live;

function cell(label, content) {
  const element = Object.assign(document.createElement("td"), { role: "cell" });
  element.dataset.label = label;
  element.append(content);
  return element;
}

function handle(id, link) {
  const code = Object.assign(document.createElement("code"), { textContent: id });
  if (!link) return code;
  const anchor = Object.assign(document.createElement("a"), { href: list.dataset.sessions + link });
  anchor.append(code);
  return anchor;
}

function take(message) {
  for (const [time, kind, id, link, subject] of JSON.parse(message.data)) {
    const row = Object.assign(document.createElement("tr"), { role: "row" });
    row.append(cell("Time", time), cell("Event", kind), cell("Session", handle(id, link)), cell("Subject", subject));
    list.prepend(row);
    document.getElementById("nothing").hidden = true;
  }
  address = `${address.split("?")[0]}?after=${message.lastEventId}`; // after a pause, it goes on behind this
  while (list.rows.length > KEPT) list.deleteRow(-1);
  liveness.textContent = "Live.";
}

function stop(text) {
  source?.close();
  source = null;
  liveness.textContent = text;
}

function follow() {
  if (document.hidden) return stop("Paused while the page is not seen.");
  if (source) return;
  source = new EventSource(address);
  source.onmessage = take;
  source.onerror = () => {
    if (source.readyState === EventSource.CLOSED) return stop(ENDED); // refused: the operator is signed out
    liveness.textContent = "Not live: the connection is lost. The browser tries again.";
  };
  source.addEventListener("end", () => stop(ENDED));
}

document.addEventListener("visibilitychange", follow);
follow();
