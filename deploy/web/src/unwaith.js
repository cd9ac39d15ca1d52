// The pages work without any of this; with it, they are livelier. Served as it is: no build but the names of files.
import { initAll } from "./govuk-frontend.js";

document.body.classList.add("js-enabled", "govuk-frontend-supported");
initAll();

// A part of a page that follows the truth: <div data-live="/changes/…/live"> is replaced whenever the server says so.
// Each message is the part's new HTML, rendered by the same template as the page. Without EventSource it stays as it is.
for (const part of document.querySelectorAll("[data-live]")) {
  const source = new EventSource(part.dataset.live);
  source.addEventListener("part", (message) => {
    if (!part.contains(document.activeElement)) part.innerHTML = message.data; // nobody's place in it is taken away
  });
  // The server says "over" when nothing more can happen, "ended" when the session has ended, in whichever tab.
  source.addEventListener("over", () => source.close());
  source.addEventListener("ended", () => {
    source.close();
    location.replace(part.dataset.ended ?? "/session-ended");
  });
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
