// What simcord's page does not do by itself: restart the bot, let a day pass, show a ping, tap a command, begin in a form's field,
// stay at the newest message.

const byId = (id) => document.getElementById(id);
const [timeline, messages, composer, form] =
  ["channel-timeline", "channel-message-list", "channel-composer-input", "modal-root"].map(byId);
const [restart, day, note, viewer] = ["restart", "day", "sandbox-note", "viewer-picker"].map(byId);
const explained = note.textContent;
const ENDED = "No sandbox answers here any more. Reload this page, or start it again: make sandbox";
const UNANSWERED = "The bot did not answer that. If it was restarted meanwhile, begin anew.";

function say(text, isOver = false) {
  note.textContent = text;
  note.classList.toggle("is-over", isOver);
}

function offer(button, kind, meanwhile, failed) {
  button.addEventListener("click", async () => {
    button.disabled = true;
    say(meanwhile);
    try {
      const answer = await fetch("/api/action", {
        method: "POST",
        headers: {
          "Content-Type": "application/json",
          "X-Simcord-Capability": location.hash.slice(1),
          "X-Simcord-Context": window.simcordPreview.contextId,
        },
        body: JSON.stringify({ kind }),
      });
      const { today } = answer.ok ? await answer.json() : {};
      say(!answer.ok ? failed : today ? `Here it is ${today} now. ${explained}` : explained, !answer.ok);
    } catch {
      say(ENDED, true);
    } finally {
      button.disabled = false;
    }
  });
}
offer(restart, "restart", "The bot is away. What is counting goes on when it is back …",
  "The bot did not come back. The terminal says why.");
offer(day, "day", "A day passes …", "The day did not pass. The terminal says why.");

const MESSAGE_LINK = 'a[href^="https://discord.com/channels/"]';

function look() {
  const me = `@${viewer.selectedOptions[0]?.textContent}`;
  for (const message of messages.children) {
    const mentions = [...message.querySelectorAll(":scope > .message-content .mention")];
    message.classList.toggle("is-ping", mentions.some((mention) => mention.textContent === me));
  }
  for (const command of messages.querySelectorAll(".command-mention")) {
    command.tabIndex = 0;
    command.role = "button";
  }
  for (const link of messages.querySelectorAll(MESSAGE_LINK)) {
    if (link.textContent === link.href) link.textContent = "#general › message";
  }
}
new MutationObserver(look).observe(messages, { childList: true, subtree: true });

function tap(event) {
  const command = event.target.closest(".command-mention");
  if (!command || (event.type === "keydown" && !["Enter", " "].includes(event.key))) return;
  event.preventDefault();
  composer.value = command.textContent;
  composer.focus();
  composer.dispatchEvent(new Event("input", { bubbles: true }));
}
messages.addEventListener("click", tap);
messages.addEventListener("keydown", tap);

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
  if (isOpen === !form.hidden) return; // simcord sets it anew with each edit
  isOpen = opened = !form.hidden;
  if (!isOpen) composer.focus();
}).observe(form, { attributeFilter: ["hidden"] });
form.addEventListener("focusin", (event) => {
  if (opened && event.target.matches(".modal-close")) form.querySelector("input, textarea, select")?.focus();
  opened = false;
});

// Stay at the newest message, also when a popup takes room or a reply grows; but not while somebody reads further up.
let isReading = false;
let handsOn = -Infinity;
for (const kind of ["wheel", "touchmove", "pointerdown", "keydown"]) {
  timeline.addEventListener(kind, () => { handsOn = performance.now(); }, { passive: true });
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

// Discord asks for suggestions as soon as a field is entered.
document.addEventListener("focusin", ({ target }) => {
  if (target.matches(".command-option-input") && !target.value) target.dispatchEvent(new Event("input", { bubbles: true }));
});

// An old address, or the terminal's Ctrl-C. Three times in a row, as a page that is still loading looks the same.
let silent = 0;
let lastAction = null;
setInterval(() => {
  const { contextId, authorized, transport, lastAction: last } = window.simcordPreview ?? {};
  if (last && last.requestId !== lastAction) {
    lastAction = last.requestId;
    if (last.rejected || last.acknowledgement === "unacknowledged") say(UNANSWERED, true);
    else if (note.textContent === UNANSWERED) say(explained);
  }
  const isThere = contextId && authorized && !["error", "uncertain"].includes(transport.state);
  silent = isThere ? 0 : silent + 1;
  if (silent >= 3) say(ENDED, true);
  else if (silent === 0 && note.textContent === ENDED) say(explained);
}, 1000);
