// What the page does without asking the server. Texts come with the elements; see result.py for the data attributes.

const SHOWN = "#result [data-character]"; // the characters' buttons, and the one for all
const all = (selector) => [...document.querySelectorAll(selector)];
const one = (selector) => document.querySelector(selector);

// The map of the character that is hovered, or else has the focus, or else was pressed.
function showMap() {
  const chosen = one(`${SHOWN}:hover`) ?? one(`${SHOWN}:focus`) ?? one(`${SHOWN}[aria-pressed="true"]`);
  const shown = chosen?.dataset.character ?? "all";
  for (const map of all("#result [data-map]")) map.hidden = map.dataset.map !== shown;
}
for (const event of ["mouseover", "mouseout", "focusin", "focusout"]) document.addEventListener(event, showMap);

const ACTIONS = {
  character(button) {
    for (const other of all(SHOWN)) other.ariaPressed = String(other === button);
    showMap();
  },
  rival: ({ dataset }) => one(`#character-${dataset.number}`).focus(), // the server does the rest
  async copy({ dataset }) {
    const copied = navigator.clipboard?.writeText(dataset.copy) ?? Promise.reject();
    const said = await copied.then(() => dataset.done, () => dataset.failed);
    one("#told").textContent = "";
    setTimeout(() => (one("#told").textContent = said), 50); // said again, it must change to be announced
  },
  play({ dataset }) {
    const sound = one("#result audio");
    sound.currentTime = 0;
    sound.playbackRate = dataset.play;
    sound.play();
  },
  download({ dataset }) {
    Object.assign(document.createElement("a"), { href: one("#result audio").src, download: dataset.download }).click();
  },
};
document.addEventListener("click", ({ target }) => {
  for (const [name, act] of Object.entries(ACTIONS)) {
    const button = target.closest?.(`#result [data-${name}]`);
    if (button) act(button);
  }
});

// To where the shown tab tells how it went.
document.addEventListener("click", ({ target }) => {
  const skip = target.closest?.(".skip");
  if (skip) skip.hash = one("#result")?.checkVisibility() ? "result" : "training";
});

// Single letters can be switched off (WCAG 2.1.4), and never act where text is typed.
const TYPED = "input:not([type=checkbox], [type=radio], [type=range]), textarea";
const KEYS = {
  r: () => one("#result [data-play]")?.click(),
  s: () => all("#result [data-play]").at(-1)?.click(),
  c: () => one("#result [data-copy]")?.click(),
  t: () => one("#character-0")?.focus(),
};
document.addEventListener("keydown", (event) => {
  const { key, target } = event;
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (key === "Escape") one("#result audio")?.pause(); // it may sound on while another tab is shown
  if (target.closest(TYPED) || !one("#read")?.checkVisibility()) return; // they are the Read tab's
  if (target.matches(SHOWN) && ["ArrowLeft", "ArrowRight"].includes(key)) {
    const buttons = all(".text [data-character]");
    buttons[buttons.indexOf(target) + (key === "ArrowRight" ? 1 : -1)]?.focus();
  } else if (one("#shortcuts input")?.checked) {
    KEYS[key.toLowerCase()]?.();
  }
});

// The focus never gets lost: where its element goes away, it moves to the nearest that stays.
let focused = []; // the element that has the focus, and its ancestors
document.addEventListener("focusin", ({ target }) => {
  focused = [];
  for (let element = target; element; element = element.parentElement) focused.push(element);
});

new MutationObserver(() => {
  if (document.activeElement === document.body && focused.length && !focused[0].isConnected) {
    const home = focused.find((element) => element.isConnected && element.querySelector("button, a[href], input"));
    home?.querySelector("button, a[href], input").focus();
  }
  showMap(); // the maps come after the buttons, of which one may have the focus by then
  // Gradio calls the thumbnail on a button after the button, so that a screen reader says the name twice.
  for (const thumbnail of all('#examples img:not([alt=""])')) thumbnail.alt = "";
  // Gradio says the browser's language, whether the page has it or is shown in English.
  const code = one("#language")?.textContent;
  if (code && document.documentElement.lang !== code) document.documentElement.lang = code;
  const title = one("h1")?.textContent;
  if (title && document.title !== title) document.title = title; // in the page's language
}).observe(document, { childList: true, subtree: true });

// A file that is no picture gets a sentence; the browser's sign for a broken picture beside it would say nothing more.
for (const event of ["error", "load"]) {
  const mark = ({ target }) => {
    if (target.matches?.("#bring img")) target.style.visibility = event === "error" ? "hidden" : "";
  };
  document.addEventListener(event, mark, true);
}
