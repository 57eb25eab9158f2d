"""Replaces texts in simcord's page and scripts; each must occur there exactly once."""

from pathlib import Path

STATIC = Path(__file__).with_name("static")
PLACES = {
    "<title>SimCord Preview</title>": "<title>Rewarm sandbox</title>",
    "</head>": '<link rel="stylesheet" href="/sandbox.css"><link rel="icon" href="/rewarm.svg"></head>',
    '<label class="viewer-control">Viewing as': (STATIC / "bar.html").read_text("utf-8"),
    'aria-label="SimCord preview"': 'aria-label="Sandbox"',
    'aria-label="Viewing as"': 'aria-label="You are"',
    '<p id="channel-empty" class="channel-empty" hidden>No messages in this channel.</p>': (
        STATIC / "welcome.html"
    ).read_text("utf-8"),
    "</body>": '<script type="module" src="/sandbox.js"></script></body>',
}
"""The places for our parts in simcord's page."""
ACTIONS = {
    "let busyDeferred = false;": """let busyDeferred = false;
  const later = [];
  const same = (it) => JSON.stringify([it.kind, it.extra, it.publishedRevision]);
  function wait(kind, extra, metadata) {
    const publishedRevision = context.observedRevision || context.publishedRevision;
    const it = { kind, extra, metadata, publishedRevision };
    const known = [...later, pending].filter(Boolean).map(same);
    if (kind === "run_command" || !known.includes(same(it))) later.push(it);
  }""",
    "function drain() {": """function drain() {
    const settled = awaitingRevision === null || awaitingRevision <= context.publishedRevision;
    if (later.length && !pending && !uncertain && settled) {
      const { kind, extra, metadata } = later.shift();
      return void dispatch(kind, extra, metadata);
    }""",
    "const action = Object.freeze({ kind,": "const action = Object.freeze({ extra, kind,",
    "if (pageAction(kind)) pageIntent(kind, extra); return; }": (
        "if (pageAction(kind)) pageIntent(kind, extra); else wait(kind, extra, metadata); return; }"
    ),
    "awaitingRevision > context.publishedRevision) return;": (
        "awaitingRevision > context.publishedRevision) return void wait(kind, extra, metadata);"
    ),
    "redact: () => { pages = {};": "redact: () => { later.length = 0; pages = {};",
    """return Boolean(pending || uncertain
    || (awaitingRevision !== null && awaitingRevision > context.publishedRevision)); }""": (
        "return Boolean(uncertain); }"
    ),
}
"""simcord drops a click while another is in progress, and locks the page; here only that click waits.

Only an impatient second click on what has not changed since is dropped; a command typed again is meant.
"""
APP = {"|| snapshot.botGeneration !== state.botGeneration) reset": ") reset"}
"""simcord throws away typed text when the bot restarts; here it is kept."""
COMMANDS = {
    "if (active instanceof HTMLElement) { active.click(); return true; }": (
        "if (active instanceof HTMLElement && active.dataset.value !== event.target.value) "
        "{ active.click(); return true; }"
    ),
    " pendingKind = context.pendingKind; }": " }",
    "Math.min(24, Math.max(2, [...field.value].length + 1))": "Math.max(2, [...field.value].length + 1)",
    """draftVersion: currentDraft().version,
    });
  }
  /** @param {KeyboardEvent} event */""": """draftVersion: currentDraft().version,
    });
    exitCommand();
    input.value = "";
    input.dispatchEvent(new Event("input", { bubbles: true }));
  }
  /** @param {KeyboardEvent} event */""",
}
"""simcord clips a value of over 24 characters. With Enter it chooses a suggestion, again and again; here one
that is typed already is sent. It keeps a command in the message box until it is answered; here the box is
free for the next one."""
SELECTS = {
    "if (state.pendingAction || state.blocked) {": "if (state.blocked) {",
    '&& changed) dispatch("select", { control_key: key, values });': (
        '&& changed) { dispatch("select", { control_key: key, values }); '
        "currentDrafts(key).delete(key); state.selectDrafts.delete(key); }"
    ),
}
"""simcord refuses a choice while a command is in progress, and the same choice in that message's next menu.
"""
TEXT = {
    'const time = node("time", "discord-timestamp", rendered);': """const time
    = node("time", "discord-timestamp", rendered);
  time.toggleAttribute("data-ages", style === "R");""",
}
"""simcord leaves "5 seconds ago" as it is until something else changes; sandbox.js updates it."""
PATCHES = {
    "/actions.js": ACTIONS,
    "/app.js": APP,
    "/commands.js": COMMANDS,
    "/select-drafts.js": SELECTS,
    "/text.js": TEXT,
}
