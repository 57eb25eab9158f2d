// What simcord's page does not do by itself: restart the bot, show a ping, tap a command, begin in a form's field,
// stay at the newest message.

const byId = (id) => document.getElementById(id);
const [timeline, messages, composer, form] =
  ["channel-timeline", "channel-message-list", "channel-composer-input", "modal-root"].map(byId);
const [restart, note, viewer] = ["restart", "sandbox-note", "viewer-picker"].map(byId);
const explained = note.textContent;

function say(text, isOver = false) {
  note.textContent = text;
  note.classList.toggle("is-over", isOver);
}

restart.addEventListener("click", async () => {
  restart.disabled = true;
  say("The bot is away. What is counting goes on when it is back …");
  try {
    const answer = await fetch("/api/action", {
      method: "POST",
      headers: {
        "Content-Type": "application/json",
        "X-Simcord-Capability": location.hash.slice(1),
        "X-Simcord-Context": window.simcordPreview.contextId,
      },
      body: JSON.stringify({ kind: "restart" }),
    });
    say(answer.ok ? explained : "The bot did not come back. The terminal says why.", !answer.ok);
  } finally {
    restart.disabled = false;
  }
});

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
}
new MutationObserver(look).observe(messages, { childList: true, subtree: true });

function tap(event) {
  const command = event.target.closest(".command-mention");
  if (!command || (event.type === "keydown" && event.key !== "Enter")) return;
  event.preventDefault();
  composer.value = command.textContent;
  composer.focus();
  composer.dispatchEvent(new Event("input", { bubbles: true }));
}
messages.addEventListener("click", tap);
messages.addEventListener("keydown", tap);

let opened = false;
new MutationObserver(() => {
  opened = !form.hidden;
  if (form.hidden) composer.focus();
}).observe(form, { attributeFilter: ["hidden"] });
form.addEventListener("focusin", (event) => {
  if (opened && event.target.matches(".modal-close")) form.querySelector("input, textarea, select")?.focus();
  opened = false;
});

// Stay at the newest message, also when a popup takes room or a reply grows; but not while somebody reads further up.
let isReading = false;
timeline.addEventListener("scroll", () => {
  isReading = timeline.scrollHeight - timeline.scrollTop - timeline.clientHeight > 40;
});
const follow = new ResizeObserver(() => { if (!isReading) timeline.scrollTop = timeline.scrollHeight; });
follow.observe(timeline);
follow.observe(messages);

// Discord asks for suggestions as soon as a field is entered.
document.addEventListener("focusin", ({ target }) => {
  if (target.matches(".command-option-input") && !target.value) target.dispatchEvent(new Event("input", { bubbles: true }));
});

// An old address, or the terminal's Ctrl-C. Three times in a row, as a page that is still loading looks the same.
let silent = 0;
setInterval(() => {
  const { contextId, authorized, transport } = window.simcordPreview ?? {};
  silent = contextId && authorized && transport.state !== "error" ? 0 : silent + 1;
  if (silent === 3) say("No sandbox answers at this address any more. Start it again: make sandbox", true);
  else if (silent === 0 && note.classList.contains("is-over")) say(explained);
}, 1000);
