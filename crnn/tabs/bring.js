// Pictures that are pasted, anywhere on the page or by the button; and what can go wrong while a picture is brought.
const IMAGE = /^image\//;

async function bring(file) {
  try {
    const name = `pasted-${Date.now()}.${file.type.slice("image/".length)}`; // new each time, or it would be no change
    const { path, url } = await upload(new File([file], name, { type: file.type }));
    props.value = { path, url, orig_name: name, meta: { _type: "gradio.FileData" } };
    trigger("input");
  } catch {
    trigger("problem", { problem: "not_uploaded" });
  }
}

const hidden = () => !document.querySelector("#paste")?.checkVisibility(); // another tab is shown

document.addEventListener("paste", (event) => {
  if (hidden()) return;
  const file = [...event.clipboardData.files].find(({ type }) => IMAGE.test(type));
  if (!file && event.target.closest("input, textarea")) return; // text, pasted into a field
  event.preventDefault();
  if (file) bring(file);
  else trigger("problem", { problem: "empty_clipboard" });
});

document.addEventListener("click", async (event) => {
  if (!event.target.closest("#paste")) return;
  try {
    for (const item of await navigator.clipboard.read()) {
      const type = item.types.find((one) => IMAGE.test(one));
      if (type) return bring(new File([await item.getType(type)], "clipboard", { type }));
    }
    trigger("problem", { problem: "empty_clipboard" });
  } catch {
    trigger("problem", { problem: "clipboard_denied" });
  }
});

// Gradio lets go of a camera's refusal without a word.
addEventListener("unhandledrejection", ({ reason }) => {
  if (reason?.name === "NotAllowedError") trigger("problem", { problem: "camera_denied" });
  if (reason?.name === "NotFoundError") trigger("problem", { problem: "no_camera" });
});
