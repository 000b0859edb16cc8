// Arrow down skips the picture, arrow up goes back to the one before: in a field of one line they have no other use.
const BUTTONS = { ArrowDown: "#label-skip", ArrowUp: "#label-back" };

document.addEventListener("keydown", (event) => {
  const { key, target } = event;
  if (!target.closest("#label-field") || event.isComposing || event.ctrlKey || event.altKey || event.metaKey) return;
  const button = !event.shiftKey && document.querySelector(BUTTONS[key] ?? "#none");
  if (!button) return;
  event.preventDefault();
  button.click();
});
