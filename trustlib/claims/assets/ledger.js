// Filters of the ledger. Without this script the whole table is shown.
(() => {
  const root = document.currentScript.closest(".tl-ledger");
  const form = root.querySelector("form");
  const rows = [...root.querySelectorAll("tbody tr")];
  const apply = () => {
    const wanted = Object.fromEntries(new FormData(form));
    let shown = 0;
    for (const row of rows) {
      const keep = Object.entries(wanted).every(([key, value]) => !value || row.dataset[key] === value);
      row.hidden = !keep;
      shown += keep;
    }
    root.querySelector("output").textContent = `${shown} of ${rows.length} claims`;
  };
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  apply();
})();
