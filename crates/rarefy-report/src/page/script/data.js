// Data of the page: numbers of all latents and rows, unpacked from the text in the page.

/// Reads the packed arrays: {head, name: array or list of texts}.
async function unpack() {
  const head = JSON.parse(document.querySelector("#head").textContent);
  const text = document.querySelector("#data").textContent;
  const packed = Uint8Array.fromBase64
    ? Uint8Array.fromBase64(text)
    : Uint8Array.from(atob(text), c => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const body = await new Response(stream).arrayBuffer();
  const data = { head };
  for (const [name, [kind, start, length]] of Object.entries(head.parts)) {
    const bytes = new Uint8Array(body, start, length);
    if (kind === "f32") data[name] = new Float32Array(body, start, length / 4);
    else if (kind === "u32") data[name] = new Uint32Array(body, start, length / 4);
    else if (kind === "u8") data[name] = bytes;
    else data[name] = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes).split("\0").slice(0, -1);
  }
  return data;
}

/// First entry of each list, from the lengths of all lists.
function starts(lengths, lists) {
  const first = new Uint32Array(lists + 1);
  for (let i = 0; i < lists; i++) first[i + 1] = first[i] + (lengths ? lengths[i] : 0);
  return first;
}

/// Lists of (number, value) by the name under which they are packed.
function pairs(D, name, lists) {
  const first = starts(D[name + "_n"], lists);
  return i => {
    const list = [];
    for (let at = first[i]; at < first[i + 1]; at++) list.push({ at, i: D[name + "_i"][at], value: D[name + "_v"][at] });
    return list;
  };
}
