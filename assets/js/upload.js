// A file of any size sent in pieces: each has a checksum, and after a break the same file goes on where it stopped.
loupe.upload = {
  piece: 8 << 20, smallest: 256 << 10, tries: 8, longest: 30000,
  table: Uint32Array.from({ length: 256 }, (_, n) => { for (let k = 8; k--;) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1; return n; }),
  crc32(bytes) {  // over plain http browsers have no sha256
    let sum = ~0;
    for (let i = 0; i < bytes.length; i++) sum = this.table[(sum ^ bytes[i]) & 255] ^ (sum >>> 8);
    return (~sum >>> 0).toString(16).padStart(8, '0');
  },
  async ask(method, path, body, signal) {
    const headers = typeof body === 'string' ? { 'Content-Type': 'application/json' } : {};
    const answer = await fetch(`${window.path_prefix || ''}/api/v1/uploads${path}`, { method, body, headers, signal });
    const told = await answer.json();  // a proxy's page is none: as if nothing had been reached
    if (answer.ok) return told.data;
    throw Object.assign(new Error(told.error.message), { told: told.error, wait: 1000 * Number(answer.headers.get('Retry-After') || 0) });
  },
  stop(place) { place.stopping?.abort(); },
  async send(place) {
    const input = place.querySelector('input'), file = input.files[0];
    if (!file || place.stopping) return;
    place.stopping = new AbortController();
    const tell = (name, detail) => place.dispatchEvent(new CustomEvent(name, { detail, bubbles: true }));
    this.show(place, 0, file.size);
    try {
      const id = await this.all(place, file, place.stopping.signal);
      tell('uploaded', { id, name: file.name });
    } catch (error) {
      const stopped = error.name === 'AbortError';
      tell('refused', { message: stopped ? 'Stopped. Choose the same file again to go on.' : error.told ? error.message : 'The server cannot be reached. Choose the same file again to go on.' });
    } finally {
      place.stopping = null;
      input.value = '';
      this.show(place, null);
    }
  },
  async all(place, file, signal) {
    const asked = { file: file.name.slice(-300), size: file.size, fingerprint: `${file.name.slice(-120)} ${file.size} ${file.lastModified}` };
    const upload = await this.ask('POST', '', JSON.stringify(asked), signal);
    let at = upload.received, size = Math.min(this.piece, upload.largest_piece), failures = 0;
    while (at < file.size) {
      this.show(place, at, file.size);
      try {
        const bytes = new Uint8Array(await file.slice(at, at + size).arrayBuffer());
        at = (await this.ask('PUT', `/${upload.id}?offset=${at}&checksum=crc32:${this.crc32(bytes)}`, bytes, signal)).received;
        failures = 0;
      } catch (error) {
        const may = !error.told || error.told.retryable || error.told.code === 'wrong_offset';
        if (error.name === 'AbortError' || !may || ++failures >= this.tries) throw error;
        if (!error.told) size = Math.max(Math.min(size, this.smallest), size >> 1);
        await this.pause(error.wait || Math.min(this.longest, 500 * 2 ** failures), signal);
        at = await this.ask('GET', `/${upload.id}`, undefined, signal).then((known) => known.received, () => at);
      }
    }
    return upload.id;
  },
  pause: (ms, signal) => new Promise((go, no) => {
    const timer = setTimeout(go, ms);
    signal.addEventListener('abort', () => { clearTimeout(timer); no(new DOMException('stopped', 'AbortError')); }, { once: true });
  }),
  show(place, at, size) {
    const [bar, said, stop] = ['progress', '.said', 'button'].map((name) => place.querySelector(name));
    bar.hidden = stop.hidden = at === null;
    bar.max = size || 1;
    bar.value = at || 0;
    const mib = (count) => (count / 2 ** 20).toFixed(count < 10 * 2 ** 20 ? 1 : 0);
    said.textContent = at === null ? '' : `${mib(at)} of ${mib(size)} MiB`;
  },
};
