// What only the browser knows about the strip: where the pointer is, what it drags over, what lies above or below.
// Everything is told as {k: kind, v: value}; the server checks it.
//
// Which token is kept is drawn by the server, a moment after a key. Keys come faster than that: until the server has
// drawn the token that the last key went to (`_sent`), the next key goes on from there and not from what is drawn.
loupe.strip = {
  _sent: null, _over: -1, _anchor: -1, _head: -1, _dragged: false, _down: false,
  index(e) {
    const t = e.target.closest ? e.target.closest('[data-i]') : null;
    return t ? Number(t.dataset.i) : -1;
  },
  over(e, emit) {
    const i = this.index(e);
    if (this._down && i >= 0 && e.buttons & 1) {
      if (i !== this._anchor) this._dragged = true;
      if (this._dragged && i !== this._head) { this._head = i; this.paint(e.currentTarget); }
      return;
    }
    if (i === this._over) return;
    this._over = i;
    emit({ k: 'hover', v: i });
  },
  leave(e, emit) {
    if (this._over === -1 || this._down) return;
    this._over = -1;
    emit({ k: 'hover', v: -1 });
  },
  down(e, emit) {
    const i = this.index(e);
    if (e.button || i < 0) return;
    const box = e.currentTarget;
    const kept = box.querySelector('.tok.locked');
    this._dragged = e.shiftKey;
    if (e.shiftKey) {
      e.preventDefault();
      if (this._anchor < 0) this._anchor = kept ? Number(kept.dataset.i) : i;
    } else this._anchor = i;
    this._head = i;
    this._down = true;
    if (this._dragged) this.paint(box);
    addEventListener('mouseup', () => {
      this._down = false;
      if (this._dragged) emit({ k: 'range', v: [this._anchor, this._head] });
    }, { once: true });
  },
  click(e, emit) {
    if (this._dragged) { this._dragged = false; return; }
    const i = this.index(e);
    if (e.currentTarget.querySelector('.tok.chosen')) { emit({ k: 'range', v: null }); if (i < 0) return; }
    this._sent = null;
    emit({ k: 'lock', v: i });
    if (i >= 0) e.target.closest('[data-i]').scrollIntoView({ block: 'nearest' }); // the sheet of a phone covers half
  },
  paint(box) {
    const [a, b] = [Math.min(this._anchor, this._head), Math.max(this._anchor, this._head)];
    for (const t of box.querySelectorAll('.tok')) {
      const i = Number(t.dataset.i);
      t.classList.toggle('chosen', i >= a && i <= b);
    }
  },
  key(e, emit) {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    const box = e.currentTarget;
    const said = (k, v) => { e.preventDefault(); emit({ k, v }); };
    if (e.key === 'Enter' && box.querySelector('.tok.chosen')) return said('explain', null);
    if (e.key === 'Escape') {
      this._anchor = -1;
      this._sent = null;
      return box.querySelector('.tok.chosen') ? said('range', null) : said('lock', -1);
    }
    const explained = [...box.querySelectorAll('.tok.done, .tok.doubtful')];
    const all = e.shiftKey || !explained.length ? [...box.querySelectorAll('.tok')] : explained;
    if (!all.length) return;
    const from = e.shiftKey && this._head >= 0 && box.querySelector('.tok.chosen') ? this._head : this.kept(box);
    const now = all.findIndex((t) => Number(t.dataset.i) === from);
    if (e.key === 'Enter' || e.key === ' ') {
      this._sent = null;
      return said('lock', now < 0 ? Number(all[0].dataset.i) : from);
    }
    const next = this.next(all, now, e.key);
    if (!next) return;
    const i = Number(next.dataset.i);
    next.scrollIntoView({ block: 'nearest' });
    if (!e.shiftKey) { this._sent = i; return said('keep', i); }
    if (this._anchor < 0 || !box.querySelector('.tok.chosen')) this._anchor = Math.max(from, 0);
    this._head = i;
    this.paint(box);
    said('range', [this._anchor, i]);
  },
  kept(box) {
    const drawn = Number(box.querySelector('[data-i].locked')?.dataset.i ?? -1);
    if (drawn === this._sent) this._sent = null;
    return this._sent ?? drawn;
  },
  next(all, now, key) {
    const last = all.length - 1;
    if (key === 'ArrowRight') return now === last ? null : all[now + 1];
    if (key === 'ArrowLeft') return now <= 0 ? (now < 0 ? all[0] : null) : all[now - 1];
    if (key === 'Home') return now === 0 ? null : all[0];
    if (key === 'End') return now === last ? null : all[last];
    if (key === 'ArrowDown' || key === 'ArrowUp') return this.vertical(all, now, key === 'ArrowDown');
    return null;
  },
  vertical(all, now, down) {
    if (now < 0) return all[0];
    const from = all[now].getClientRects()[0];
    const x = from.left + from.width / 2;
    let best = null, bestCost = Infinity;
    for (const t of all) {
      const r = t.getClientRects()[0];
      const dy = (r.top - from.top) * (down ? 1 : -1);
      if (dy < from.height / 2) continue;
      const cost = dy * 1000 + Math.abs(r.left + r.width / 2 - x);
      if (cost < bestCost) { best = t; bestCost = cost; }
    }
    return best;
  },
};

loupe.table = {
  click(e, emit) {
    const sort = e.target.closest('[data-sort]');
    if (sort) return emit({ sort: sort.dataset.sort });
    if (String(getSelection())) return; // a drag to copy text is not a choice
    const row = e.target.closest('[data-i]');
    if (row) { loupe.strip._sent = null; emit({ i: Number(row.dataset.i) }); }
  },
  key(e, emit) {
    if (e.ctrlKey || e.metaKey || e.altKey || e.target.closest('button, input')) return;
    if (e.key === 'Escape') { loupe.strip._sent = null; return emit({ i: -1 }); }
    const all = [...e.currentTarget.querySelectorAll('tbody [data-i], .column[data-i]')];
    const kept = loupe.strip.kept(e.currentTarget);
    const now = all.findIndex((row) => Number(row.dataset.i) === kept);
    const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[e.key];
    const ends = { Home: 0, End: all.length - 1 };
    const next = step ? Math.min(Math.max(now + step, 0), all.length - 1) : ends[e.key] ?? -1;
    if (next < 0 || next === now) return;
    e.preventDefault();
    all[next].scrollIntoView({ block: 'nearest', inline: 'nearest' });
    loupe.strip._sent = Number(all[next].dataset.i);
    emit({ i: loupe.strip._sent, keep: true });
  },
};

// The line between text and card can be moved, by pointer or with the arrow keys; its place is remembered.
loupe.divider = {
  set(width) {
    const kept = Math.min(Math.max(width, 320), window.innerWidth * 0.6);
    document.documentElement.style.setProperty('--card', `${kept}px`);
    localStorage.setItem('loupe-card', String(kept));
  },
  width: () => document.querySelector('.right').getBoundingClientRect().width,
  down(e) {
    const from = e.clientX, width = this.width();
    const move = (m) => this.set(width + from - m.clientX);
    e.preventDefault();
    addEventListener('pointermove', move);
    addEventListener('pointerup', () => removeEventListener('pointermove', move), { once: true });
  },
  key(e) {
    const step = { ArrowLeft: 24, ArrowRight: -24 }[e.key];
    if (step) { e.preventDefault(); this.set(this.width() + step); }
  },
};
if (localStorage.getItem('loupe-card')) {
  document.documentElement.style.setProperty('--card', `${Number(localStorage.getItem('loupe-card')) || 430}px`);
}

loupe.card = {
  click(e, emit) {
    const act = e.target.closest('[data-act]');
    if (act?.dataset.act === 'release') loupe.strip._sent = null;
    if (act) emit(act.dataset.act);
  },
};
