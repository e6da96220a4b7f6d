// Two texts and a table that share one place: every element of a place carries its index.
loupe.compare = {
  at(e) {
    const t = e.target.closest ? e.target.closest('[data-i]') : null;
    return t ? Number(t.dataset.i) : -1;
  },
  click(e, emit) {
    if (window.getSelection && String(window.getSelection())) return; // a drag to copy text is not a choice
    const i = this.at(e);
    if (i >= 0) emit(i);
  },
  key(e, emit) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[e.key];
    if (!step || e.ctrlKey || e.metaKey || e.altKey) return;
    e.preventDefault();
    const all = [...e.currentTarget.querySelectorAll('.tok')];
    const now = all.findIndex((t) => t.classList.contains('locked'));
    const next = all[Math.min(Math.max(now + step, 0), all.length - 1)];
    if (next) emit(Number(next.dataset.i));
  },
  reveal(token, box) {
    if (!box) return; // the page itself stays where it is: only a long text moves within its frame
    const t = token.getBoundingClientRect(), b = box.getBoundingClientRect();
    if (t.top < b.top) box.scrollTop -= b.top - t.top + 8;
    else if (t.bottom > b.bottom) box.scrollTop += t.bottom - b.bottom + 8;
  },
  mark(index) {
    for (const t of document.querySelectorAll('.compare .locked')) t.classList.remove('locked');
    for (const t of document.querySelectorAll(`.compare [data-i="${Number(index)}"]`)) {
      t.classList.add('locked');
      this.reveal(t, t.closest('.strip'));
    }
  },
};
