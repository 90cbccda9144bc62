"""Pictures of the table of rho and beta in docs/lecture.md: trains on the digits for each pair, and draws the filters.

    python docs/images/rho_beta.py target/release/rarefy

Only Python's own library is needed. Prints the lines of the table.
"""
import base64, gzip, json, pathlib, re, struct, subprocess, sys, tempfile, zlib

program, folder = sys.argv[1], pathlib.Path(__file__).parent / "rho-beta"
folder.mkdir(exist_ok=True)


def page_data(page):
    """Head and unpacked bytes of the explorer in a report page."""
    head = json.loads(re.search(r'id="head"[^>]*>(.*?)</script>', page, re.S).group(1))
    body = gzip.decompress(base64.b64decode(re.search(r'id="data"[^>]*>(.*?)</script>', page, re.S).group(1)))
    return head, body


def png(path, rows):
    """Writes a grey picture."""
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    size = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 0, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + bytes(row) for row in rows), 9)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", pixels) + chunk(b"IEND", b""))


def tiles(levels, count, side=8, scale=3, across=8):
    """Pictures of `side` by `side` pixels beside each other, with a white line between them."""
    step = side * scale + 2
    rows = [[255] * (across * step) for _ in range(-(-count // across) * step)]
    for tile in range(count):
        top, left = tile // across * step, tile % across * step
        for y in range(side * scale):
            for x in range(side * scale):
                rows[top + y][left + x] = levels[tile * side * side + y // scale * side + x // scale]
    return rows


betas = [0, 0.3, 3, 30]
print("| ρ | " + " | ".join(f"β = {beta}" for beta in betas) + " |\n|---" * 1 + "|---" * len(betas) + "|")
for rho in [0.02, 0.1, 0.3]:
    cells = []
    for beta in betas:
        with tempfile.TemporaryDirectory() as out:
            command = [program, "train", "sample:digits", "--rho", str(rho), "--beta", str(beta), "--holdout", "0"]
            command += ["--out", out + "/run", "--json", "--quiet"]
            told = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
            head, body = page_data(pathlib.Path(out, "run", "report.html").read_text())
        _, start, length = head["parts"]["filter_px"]
        name = f"rho-{rho}-beta-{beta}.png"
        png(folder / name, tiles(body[start:start + length], head["latents"]))
        cells.append(f"![filters at rho {rho}, beta {beta}](images/rho-beta/{name}) "
                     f"explained {100 * told['explained_variance']:.0f} %, mean ρ̂ {told['rho_hat_mean']:.2g}")
    print(f"| {rho} | " + " | ".join(cells) + " |")
