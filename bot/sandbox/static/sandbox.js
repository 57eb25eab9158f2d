// What simcord's page does not do by itself: restart the bot, let a day pass, say what is amiss, show a ping, tap a
// command, keep the keyboard in the message box, begin in a form's field, stay at the newest message.

const byId = (id) => document.getElementById(id);
const [timeline, messages, composer, form] =
  ["channel-timeline", "channel-message-list", "channel-composer-input", "modal-root"].map(byId);
const [restart, day, note, viewer] = ["restart", "day", "sandbox-note", "viewer-picker"].map(byId);
const explained = note.textContent;
const ADDRESS = "This address is incomplete or out of date. The right one is in the terminal where the sandbox is running.";
const STOPPED = "The sandbox has stopped. Run “make sandbox” again and open the address it prints.";
const AWAY = "The bot is restarting. Countdowns go on when it’s back …";
const GONE = "The bot didn’t come back; see the terminal.";
const PASSES = "Skipping a day …";
const NO_DAY = "Couldn’t skip a day; see the terminal.";
const UNANSWERED = "The bot didn’t answer. If it was restarting, please try again.";

// What the line at the top says: what all tabs know, also after F5, or what went wrong in this one.
let known = { bot: "here", today: "" };
let ahead = 0; // milliseconds of the time here, which days have passed in
let trouble = "";
let over = "";
let isDay = false;
function tell() {
  const date = known.today && `It’s ${known.today} in the sandbox now. `;
  const wrong = over || (known.bot === "gone" && GONE) || (known.bot === "here" && trouble);
  note.textContent = wrong || (known.bot === "away" ? AWAY : isDay ? PASSES : date + explained);
  note.classList.toggle("is-over", Boolean(wrong));
  document.body.classList.toggle("is-over", Boolean(over));
  restart.disabled = known.bot === "away";
  day.ariaDisabled = String(isDay); // not disabled: the keyboard stays on it
}

function ask(kind) {
  return fetch("/api/action", {
    method: "POST",
    headers: {
      "Content-Type": "application/json",
      "X-Simcord-Capability": location.hash.slice(1),
      "X-Simcord-Context": window.simcordPreview?.contextId ?? "",
    },
    body: JSON.stringify({ kind }),
  });
}

let silent = 0;
async function learn() {
  const { contextId, diagnostics } = window.simcordPreview ?? {};
  if (!contextId && !diagnostics?.length) return; // it is still loading
  const answer = await ask("about").catch(() => null);
  if (answer?.ok) {
    known = await answer.json();
    ahead = known.now * 1000 - Date.now();
    [silent, over] = [0, ""];
  } else if (++silent >= 3) {
    if (answer?.status === 400 && contextId) location.reload(); // the tab has slept for long
    over = !answer ? STOPPED : answer.status === 401 ? ADDRESS : "";
  }
  tell();
}

restart.addEventListener("click", async () => {
  known.bot = "away";
  tell();
  await ask("restart").catch(() => null);
  learn();
});
day.addEventListener("click", async ({ detail }) => {
  if (isDay || detail === 2) return; // one at a time: each is to be seen; and a double click is one
  isDay = true;
  tell();
  const answer = await ask("day").catch(() => null);
  isDay = false;
  trouble = answer && !answer.ok ? NO_DAY : "";
  learn();
});

const MESSAGE_LINK = 'a[href^="https://discord.com/channels/"]';

function look() {
  const me = `@${viewer.selectedOptions[0]?.textContent}`;
  for (const message of messages.children) {
    const mentions = [...message.querySelectorAll(":scope > .message-content .mention")];
    message.classList.toggle("is-ping", mentions.some((mention) => mention.textContent === me));
  }
  for (const command of timeline.querySelectorAll(".command-mention")) {
    command.tabIndex = 0;
    command.role = "button";
  }
  for (const link of messages.querySelectorAll(MESSAGE_LINK)) {
    if (link.textContent === link.href) link.textContent = "#general › message";
  }
}
new MutationObserver(look).observe(messages, { childList: true, subtree: true });
look();

function tap(event) {
  const command = event.target.closest(".command-mention");
  if (!command || (event.type === "keydown" && !["Enter", " "].includes(event.key))) return;
  event.preventDefault();
  leave();
  composer.value = command.textContent;
  composer.focus();
  composer.dispatchEvent(new Event("input", { bubbles: true }));
}
timeline.addEventListener("click", tap);
timeline.addEventListener("keydown", tap);

// Give up a command that is half typed, as Backspace does at its beginning.
function leave() {
  const begun = document.querySelector(".command-chip");
  begun?.dispatchEvent(new KeyboardEvent("keydown", { key: "Backspace", bubbles: true }));
}

// The keyboard belongs to the message box: once it is there, and for a command that is begun from anywhere.
new MutationObserver((_, observer) => {
  if (!composer.checkVisibility()) return;
  observer.disconnect();
  if (matchMedia("(hover: hover)").matches) composer.focus(); // a phone would show its keyboard
}).observe(byId("channel-composer"), { attributeFilter: ["hidden"] });
document.addEventListener("keydown", (event) => {
  const isText = event.target.closest("input, textarea, [contenteditable]");
  if (event.key === "/" && !isText && form.hidden && composer.isConnected) composer.focus();
});

// A link to a message leads to it here, and not to the real Discord.
messages.addEventListener("click", (event) => {
  const link = event.target.closest(MESSAGE_LINK);
  if (!link) return;
  event.preventDefault();
  const message = messages.querySelector(`[data-message-id="${link.href.split("/").at(-1)}"]`);
  message?.scrollIntoView({ block: "center" });
});

// As in Discord, a space after a whole command's name chooses it.
composer.addEventListener("keydown", (event) => {
  if (event.key !== " ") return;
  const names = [...document.querySelectorAll(".command-entry strong")];
  const chosen = names.find((name) => name.textContent === composer.value);
  if (!chosen) return;
  event.preventDefault();
  chosen.closest(".command-entry").click();
}, true);

let opened = false;
let isOpen = false;
new MutationObserver(() => {
  if (isOpen === !form.hidden) return; // simcord sets it again with each edit
  isOpen = opened = !form.hidden;
  if (!isOpen) composer.focus();
}).observe(form, { attributeFilter: ["hidden"] });
form.addEventListener("focusin", (event) => {
  if (opened && event.target.matches(".modal-close")) form.querySelector("input, textarea, select")?.focus();
  opened = false;
});

// Stay at the newest message, also when a popup takes room or a reply grows; but not while somebody reads further up,
// which nothing but their own scrolling begins.
const SCROLLING = ["ArrowUp", "ArrowDown", "PageUp", "PageDown", "Home", "End"];
let isReading = false;
let handsOn = -Infinity;
for (const kind of ["wheel", "touchmove", "pointerdown", "keydown"]) {
  timeline.addEventListener(kind, (event) => {
    const isElsewhere = kind === "pointerdown" && event.target !== timeline; // not on the scroll bar
    const isOther = kind === "keydown" && (event.defaultPrevented || !SCROLLING.includes(event.key));
    if (!isElsewhere && !isOther) handsOn = performance.now();
  }, { passive: true });
}
timeline.addEventListener("scroll", () => {
  const isAway = timeline.scrollHeight - timeline.scrollTop - timeline.clientHeight > 40;
  if (!isAway || performance.now() - handsOn < 1000) isReading = isAway;
  else follow();
});
function follow() {
  if (!isReading) timeline.scrollTop = timeline.scrollHeight;
}
const sizes = new ResizeObserver(follow);
sizes.observe(timeline);
sizes.observe(messages);
byId("channel-composer").addEventListener("keydown", ({ key }) => {
  if (key === "Enter") isReading = false; // who writes wants to see the answer
});

// After a reload of the page, be who you were.
document.addEventListener("change", ({ target }) => { // before simcord empties the list
  if (target === viewer) sessionStorage.setItem("viewer", viewer.selectedOptions[0].textContent);
}, true);
new MutationObserver((_, observer) => {
  observer.disconnect();
  const mine = [...viewer.options].find((option) => option.textContent === sessionStorage.getItem("viewer"));
  if (!mine || mine.selected) return;
  viewer.value = mine.value;
  viewer.dispatchEvent(new Event("change"));
}).observe(viewer, { childList: true });

// Say who the people are; simcord makes the list again with each change, of names only.
const ROLES = { mod: "moderator", ana: "member" };
new MutationObserver(() => {
  for (const option of viewer.options) option.label = `${option.textContent} (${ROLES[option.textContent]})`;
}).observe(viewer, { childList: true });

// Discord asks for suggestions as soon as a field is entered.
document.addEventListener("focusin", ({ target }) => {
  if (target.matches(".command-option-input") && !target.value) target.dispatchEvent(new Event("input", { bubbles: true }));
});

// "5 seconds ago" becomes "6 seconds ago".
const UNITS = [["second", 1, 60], ["minute", 60, 3600], ["hour", 3600, 86400], ["day", 86400, 604800], ["week", 604800, Infinity]];
const relative = new Intl.RelativeTimeFormat("en-US", { numeric: "auto" });
function age() {
  for (const time of timeline.querySelectorAll("time[data-ages]")) {
    const seconds = (Date.parse(time.dateTime) - Date.now() - ahead) / 1000;
    const [unit, length] = UNITS.find(([, , below]) => Math.abs(seconds) < below);
    const text = relative.format(Math.round(seconds / length), unit);
    if (time.textContent !== text) time.textContent = text;
  }
}

let lastAction = null;
setInterval(() => {
  age();
  const last = window.simcordPreview?.lastAction;
  if (last && last.requestId !== lastAction) {
    lastAction = last.requestId;
    trouble = last.rejected || last.acknowledgement === "unacknowledged" ? UNANSWERED : "";
  }
  learn();
}, 1000);
