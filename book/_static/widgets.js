// Runs between require.js and the widget player (embed-amd.js), on pages with widgets. Three gaps are closed:
// 1. the player looks for its icon fonts beside the page; they lie beside the player;
// 2. the player typesets labels by the interface of MathJax 2; the book has MathJax 3;
// 3. slider handles have no accessible name and speak positions; the label and the value beside them are what a screen
//    reader says, followed by the description of the new picture. The value is no field: typing there changes nothing.
(() => {
  const script = document.currentScript;
  const player = new URL(`${script.dataset.player}/`, script.src).href;
  requirejs.config({
    paths: {
      "@jupyter-widgets/html-manager": `${player}index`,
      "@jupyter-widgets/html-manager/dist": player.replace(/\/$/, ""),
    },
  });

  if (window.MathJax) {
    let typeset = null;
    const hub = {
      Queue: ([, , element]) => {
        typeset = (typeset ?? MathJax.startup.promise).then(() => MathJax.typesetPromise([element]));
      },
    };
    MathJax.startup = {
      ...MathJax.startup,
      ready: () => {
        MathJax.Hub = hub;
        MathJax.startup.defaultReady();
      },
    };
  }

  const set = (element, attribute, value) => {
    if (value && element.getAttribute(attribute) !== value) element.setAttribute(attribute, value);
  };
  const text = (slider, part) => slider?.querySelector(part)?.textContent.trim();
  const describe = () => {
    for (const handle of document.querySelectorAll(".noUi-handle")) {
      const slider = handle.closest(".widget-inline-hbox");
      set(handle, "aria-label", text(slider, ".widget-label"));
      set(handle, "aria-valuetext", text(slider, ".widget-readout"));
    }
    for (const view of document.querySelectorAll(".trustlib-frames")) {
      set(view.lastElementChild, "aria-live", "polite");
      for (const readout of view.querySelectorAll(".widget-readout")) set(readout, "contenteditable", "false");
    }
  };
  new MutationObserver(describe).observe(document.documentElement, {
    childList: true,
    subtree: true,
    attributeFilter: ["aria-valuetext", "contenteditable"],
  });
})();
