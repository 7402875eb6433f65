// Runs between require.js and the widget player (embed-amd.js), on pages with widgets. Three gaps are closed:
// 1. the player looks for its icon fonts beside the page; they lie beside the player;
// 2. the player typesets labels by the interface of MathJax 2; the book has MathJax 3;
// 3. slider handles have no accessible name; the label beside them becomes it.
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

  const name = () => {
    for (const handle of document.querySelectorAll(".noUi-handle")) {
      const label = handle.closest(".widget-inline-hbox")?.querySelector(".widget-label")?.textContent.trim();
      if (label) handle.setAttribute("aria-label", label);
    }
  };
  new MutationObserver(name).observe(document.documentElement, { childList: true, subtree: true });
})();
