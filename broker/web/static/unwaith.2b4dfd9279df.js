// The pages work without any of this; with it, they are livelier. Served as it is: no build but the names of files.
import { initAll } from "./govuk-frontend.03560aaedbb4.js";

document.body.classList.add("js-enabled", "govuk-frontend-supported");
initAll();

// A part of a page that follows the truth: <div data-live="/changes/…/live"> is kept as the server says it is.
// Each message is the part's new HTML, rendered by the same template as the page. Where there is no room for another
// stream, or no EventSource, the part is asked for now and then.
const POLLED_EVERY = 15000; // milliseconds

for (const part of document.querySelectorAll("[data-live]")) {
  const leave = () => location.replace(part.dataset.ended ?? "/session-ended");
  const poll = async () => {
    try {
      const answer = await fetch(part.dataset.live, { headers: { Accept: "application/json" }, cache: "no-store" });
      if (answer.status === 401) return leave();
      if (answer.ok) {
        const now = await answer.json();
        show(part, now.html);
        if (now.over) return undefined;
      }
    } catch {
      // asked again
    }
    return setTimeout(poll, POLLED_EVERY);
  };
  if (typeof EventSource === "undefined") {
    poll();
    continue;
  }
  const source = new EventSource(part.dataset.live);
  source.addEventListener("part", (message) => show(part, message.data));
  // The server says "over" when nothing more can happen, "ended" when the session has ended, in whichever tab.
  source.addEventListener("over", () => source.close());
  source.addEventListener("ended", () => {
    source.close();
    leave();
  });
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) poll(); // refused for good; otherwise it comes back by itself
  });
}

// Replace only what differs: nobody's place in it is taken away, and a screen reader hears only what is new.
function show(part, html) {
  const fresh = document.createElement("div");
  fresh.innerHTML = html;
  const [before, now] = [[...part.children], [...fresh.children]];
  if (before.length !== now.length) {
    if (!part.contains(document.activeElement)) part.replaceChildren(...now);
    return;
  }
  for (const [place, piece] of now.entries()) {
    const old = before[place];
    if (old.isEqualNode(piece) || old.contains(document.activeElement)) continue;
    const scrolled = old.scrollLeft;
    old.replaceWith(piece);
    piece.scrollLeft = scrolled;
  }
}

// Refresh and polling links are for pages without JavaScript.
for (const part of document.querySelectorAll("[data-without-script]")) {
  part.hidden = true;
}

// A warning before the session ends. Time spent on other tabs counts too: the server is asked, never guessed.
const warning = document.querySelector("[data-session-warning]");
if (warning) {
  const { left, lead, status } = warning.dataset;
  const show = () => {
    warning.hidden = false;
    warning.focus();
  };
  const look = async (seconds) => {
    if (seconds > Number(lead)) {
      warning.hidden = true;
      setTimeout(check, (seconds - Number(lead)) * 1000);
    } else if (seconds > 0) {
      if (warning.hidden) show();
      setTimeout(check, Math.min(seconds + 1, 15) * 1000);
    } else {
      location.assign(warning.dataset.ended);
    }
  };
  const check = async () => {
    try {
      const answer = await fetch(status, { credentials: "same-origin", cache: "no-store" });
      await look((await answer.json()).left);
    } catch {
      setTimeout(check, 15000);
    }
  };
  look(Number(left));
  warning.querySelector("[data-stay]")?.addEventListener("click", async (event) => {
    event.preventDefault();
    warning.hidden = true;
    const form = event.target.closest("form");
    try {
      await fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)), redirect: "manual" });
    } finally {
      check();
    }
  });
}

// A page that comes back from the browser's own memory may be of a session that has ended: ask for it anew.
addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});
