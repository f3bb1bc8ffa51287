// A field that leaves the rows of the page's tables that hold all of the words typed into it.
document.addEventListener("DOMContentLoaded", () => {
  const place = document.querySelector(".oscaxr-row-filter");
  if (!place) return;
  const rows = [...place.closest("article, body").querySelectorAll("table tbody tr")].filter(
    (row) => place.compareDocumentPosition(row) & Node.DOCUMENT_POSITION_FOLLOWING
  );
  const texts = rows.map((row) => row.textContent.toLowerCase());
  const field = document.createElement("input");
  field.type = "search";
  field.placeholder = place.dataset.words;
  field.setAttribute("aria-label", place.dataset.words);
  const count = document.createElement("output");
  place.append(field, count);
  const show = () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    const kept = texts.map((text) => words.every((word) => text.includes(word)));
    rows.forEach((row, k) => { row.hidden = !kept[k]; });
    // While searching, sections of which no row is left go with their headings.
    place.parentElement.querySelectorAll(":scope > section").forEach((section) => {
      const found = rows.some((row, k) => kept[k] && section.contains(row));
      section.hidden = words.length > 0 && !found;
    });
    count.textContent = words.length ? `${kept.filter(Boolean).length} of ${rows.length} rows` : "";
  };
  field.addEventListener("input", show);
  // A word after ?find= in the address, so that a search can be linked to.
  field.value = new URLSearchParams(window.location.search).get("find") ?? "";
  show();
});
