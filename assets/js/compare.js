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
  mark(index) {
    for (const t of document.querySelectorAll('.compare .locked')) t.classList.remove('locked');
    for (const t of document.querySelectorAll(`.compare [data-i="${Number(index)}"]`)) {
      t.classList.add('locked');
      if (t.closest('.strip')) t.scrollIntoView({ block: 'nearest' });
    }
  },
};
