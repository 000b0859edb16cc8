// Gradio calls the thumbnail on a button after the button, so that a screen reader says the name twice.
new MutationObserver(() => {
  for (const thumbnail of document.querySelectorAll('#examples img:not([alt=""])')) thumbnail.alt = "";
}).observe(document, { childList: true, subtree: true });

// A file that is no picture gets a sentence; the browser's sign for a broken picture beside it would say nothing more.
for (const event of ["error", "load"]) {
  const mark = ({ target }) => {
    if (target.matches?.("#bring img")) target.style.visibility = event === "error" ? "hidden" : "";
  };
  document.addEventListener(event, mark, true);
}
