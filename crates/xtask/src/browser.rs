//! `cargo xtask browser`: uses the report page as a reader does, in a browser without a window.

mod devtools;

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use devtools::Browser;
use serde_json::Value;

use crate::cargo::{cargo, program};
use crate::root;

/// Longest time from opening a file to a page that is ready, in milliseconds, and largest file, in bytes. A quiet machine needs
/// less than 2 seconds; the limit leaves room for other processes, and the time is printed.
const SLOWEST: f64 = 10_000.0;
const LARGEST: u64 = 25_000_000;
/// Widths of a desktop's and a phone's window, and their height, in pixels.
const WIDTHS: [usize; 2] = [1280, 390];
const HEIGHT: usize = 900;
/// Rows, values of a row, and topics of the large page.
const ROWS: usize = 12_000;
const VALUES: usize = 32;
const TOPICS: usize = 300;

/// A page under test.
struct Page {
    name: &'static str,
    file: PathBuf,
    /// Words that the search finds in some latents, but not in all.
    words: &'static str,
    /// Result of the run, as `train --json` printed it.
    result: Value,
}

/// Runs the test if a browser is installed. Screenshots go to `screenshots`, if given.
pub fn run(screenshots: Option<&Path>) -> Result<()> {
    let Some(chromium) = devtools::installed() else {
        println!(
            "   !! LEFT OUT: no Chromium is installed, so the report page is not tested. Install `chromium`,"
        );
        println!("   !! or name a program with the variable CHROMIUM.");
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let pages = pages(folder.path())?;
    let mut browser = Browser::start(&chromium, &folder.path().join("profile"))?;
    for page in &pages {
        for width in WIDTHS {
            browser.resize(width, HEIGHT)?;
            let at = |what: &str| format!("{} at {width} pixels: {what}", page.name);
            let took = browser.open(&page.file).with_context(|| at("open"))?;
            let bytes = std::fs::metadata(&page.file)?.len();
            let script = browser.value("document.documentElement.dataset.ready")?;
            println!(
                "   {}: {:.2} MB, open after {took:.0} ms, of which the script {} ms",
                at("page"),
                bytes as f64 / 1e6,
                script.as_str().unwrap_or_default()
            );
            ensure!(took < SLOWEST, at("slow"));
            ensure!(bytes < LARGEST, at("large"));
            use_list(&mut browser, page).with_context(|| at("list"))?;
            use_latent(&mut browser, width).with_context(|| at("latent"))?;
            use_rows(&mut browser).with_context(|| at("one row taken apart"))?;
            use_map(&mut browser).with_context(|| at("map"))?;
            use_theme(&mut browser, page, width, screenshots).with_context(|| at("theme"))?;
            let wide = browser.value("document.documentElement.scrollWidth")?;
            ensure!(
                wide.as_u64() <= Some(width as u64),
                at(&format!("the page is {wide} pixels wide"))
            );
            ensure!(
                browser.faults.is_empty(),
                at(&format!("{:?}", browser.faults))
            );
        }
    }
    notes_stay(&mut browser, &pages[0])?;
    files_have_the_keys_of_others(&mut browser)?;
    ensure!(browser.faults.is_empty(), "{:?}", browser.faults);
    Ok(())
}

/// Trains models and returns their pages: pictures with labels, words, and many latents with texts and a score.
fn pages(folder: &Path) -> Result<Vec<Page>> {
    cargo(&["test", "--workspace", "--no-run", "--quiet"], &[])?;
    let table = folder.join("texts.csv");
    std::fs::write(&table, texts())?;
    let table = table.to_str().context("a temporary folder has a name")?;
    let runs: [(&str, &str, &str); 3] = [
        ("digits", "7", "sample:digits"),
        (
            "words",
            "river",
            "sample:words --arch topk --latents 512 --steps 60",
        ),
        (
            "texts",
            "topic17",
            "DATA --arch topk --latents 16384 --k 32 --steps 6 --batch 1024 --text text --label score",
        ),
    ];
    let page = |(name, words, arguments): (&'static str, &'static str, &str)| {
        let run = folder.join(name);
        let arguments = arguments
            .split(' ')
            .map(|word| if word == "DATA" { table } else { word });
        let output = Command::new(program())
            .args(["train", "--json", "--quiet", "--out"])
            .arg(&run)
            .args(arguments)
            .current_dir(root())
            .output()
            .context("the program could not be started")?;
        if !output.status.success() {
            bail!("train {name}: {}", String::from_utf8_lossy(&output.stderr));
        }
        let result = serde_json::from_slice(&output.stdout)?;
        Ok(Page {
            name,
            file: run.join("report.html"),
            words,
            result,
        })
    };
    runs.into_iter().map(page).collect()
}

/// Table of rows around the centres of topics, each with a text about its topic and a score.
fn texts() -> String {
    let mut state = 1_u64;
    let mut random = move || {
        // The generator of Knuth's MMIX; its upper bits are good enough for a test.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / f64::from(1 << 24)
    };
    let centres: Vec<f64> = (0..TOPICS * VALUES).map(|_| 4.0 * random() - 2.0).collect();
    let mut table = String::new();
    (0..VALUES).for_each(|i| write!(table, "x{i},").expect("a string takes all text"));
    table.push_str("text,score\n");
    for _ in 0..ROWS {
        let topic = (random() * TOPICS as f64) as usize;
        for centre in &centres[topic * VALUES..(topic + 1) * VALUES] {
            write!(table, "{:.3},", centre + random() - 0.5).expect("a string takes all text");
        }
        let others: Vec<String> = (0..20)
            .map(|_| format!("word{}", (random() * 5000.0) as usize))
            .collect();
        let score = topic as f64 / TOPICS as f64 + 0.1 * random();
        writeln!(
            table,
            "\"about topic{topic}: {}\",{score:.3}",
            others.join(" ")
        )
        .expect("a string takes all text");
    }
    table
}

/// Searches, sorts and filters.
fn use_list(browser: &mut Browser, page: &Page) -> Result<()> {
    let all = page.result["latents"]
        .as_u64()
        .or(page.result["d_sae"].as_u64());
    let count = "parseInt(document.querySelector('#count').textContent)";
    let latents = browser.value("rarefy.n")?;
    ensure!(
        all.is_none() || latents.as_u64() == all,
        "{latents} latents for {all:?}"
    );
    browser.wait(&format!("{count} === rarefy.n"))?;
    browser.fill("#search", page.words)?;
    browser.wait(&format!("{count} > 0 && {count} < rarefy.n"))?;
    let found = "document.querySelectorAll('#list a').length > 0";
    browser.wait(found)?;
    browser.fill("#search", "no such words anywhere")?;
    browser.wait(&format!("{count} === 0"))?;
    browser.fill("#search", "")?;
    browser.wait(&format!("{count} === rarefy.n"))?;
    browser.choose("#order", "rate")?;
    let first = "document.querySelector('#list a').getAttribute('href')";
    browser.wait(&format!(
        "{first} === `#latent-${{[...rarefy.D.rate].indexOf(Math.max(...rarefy.D.rate))}}`"
    ))?;
    browser.choose("#order", "number")?;
    browser.choose("#kind", "dead")?;
    let dead = &page.result["dead_latents"];
    browser.wait(&format!(
        "{count} === {dead} || {count} === rarefy.D.status.filter(s => s === 1).length"
    ))?;
    browser.choose("#kind", "all")?;
    // Both views show latents; cells of the table stand beside each other.
    for _ in 0..2 {
        browser.click("#view")?;
        browser.wait(found)?;
        let apart = "(() => { const end = s => document.querySelector(s).getBoundingClientRect(); \
            return !document.querySelector('#list .number') || (end('#list .number').right <= end('#list .name').left \
            && end('#list .rate').right <= end('#list .max').left && end('#list .name').width > 90); })()";
        browser.wait(apart)?;
    }
    Ok(())
}

/// Opens latents from the list, by a link and by an address.
fn use_latent(browser: &mut Browser, width: usize) -> Result<()> {
    let title = "document.querySelector('#latent-title').textContent";
    browser.click("#list a")?;
    browser.wait(&format!(
        "location.hash === '#latent-0' && {title} === 'Latent 0'"
    ))?;
    let wide = "document.querySelector('#latent').getBoundingClientRect().width";
    if width < 600 {
        browser.wait(&format!("{wide} === {width}"))?;
    } else {
        browser.wait(&format!("{wide} > 300 && {wide} < 600"))?;
    }
    browser.click("#latent .steps a:nth-child(2)")?;
    browser.wait(&format!("{title} === 'Latent 1'"))?;
    browser.value("location.hash = 'latent-7'")?;
    browser.wait(&format!("{title} === 'Latent 7'"))?;
    browser.click("#latent .links a")?;
    browser.wait("location.hash !== '#latent-7' && rarefy.opened !== 7")?;
    browser.click("#latent .steps button")?;
    browser.wait("document.querySelector('#latent').hidden")
}

/// Takes rows apart: one of the page, a typed one and a drawn one.
fn use_rows(browser: &mut Browser) -> Result<()> {
    let parts = "document.querySelectorAll('#apart-view .parts li').length";
    browser.click("#apart-rows button:nth-child(2)")?;
    browser.wait(&format!(
        "document.querySelector('#apart-rows button:nth-child(2).on') && {parts} > 0"
    ))?;
    if browser.value("Boolean(rarefy.encode)")? != true {
        return Ok(());
    }
    // The page computes what the program computed.
    let far = browser.value(
        "(() => { const { D } = rarefy, rows = D.apart_row.length, w = rarefy.inputs, o = D.b_dec.length; \
         const codes = pairs(D, 'apart', rows); let far = 0; \
         for (let r = 0; r < rows; r++) { \
           const own = rarefy.encode(D.apart_x.subarray(r * w, (r + 1) * w)), y = rarefy.decode(own); \
           const found = new Map(own.map(e => [e.i, e.value])); \
           for (const e of codes(r)) far = Math.max(far, Math.abs((found.get(e.i) ?? NaN) - e.value)); \
           for (let i = 0; i < o; i++) far = Math.max(far, Math.abs(y[i] - D.apart_x_hat[r * o + i])); \
         } return far; })()",
    )?;
    ensure!(
        far.as_f64().is_some_and(|far| far < 1e-3),
        "the page's latents differ by {far}"
    );
    browser.value("document.querySelector('#own details').open = true")?;
    browser.fill("#typed", "1 2 x")?;
    browser.click("#typed-go")?;
    browser
        .wait("document.querySelector('#typed-said').textContent === 'Value 3 is no number.'")?;
    browser.value("document.querySelector('#typed').value = [...rarefy.D.apart_x.subarray(0, rarefy.inputs)].join(', ')")?;
    browser.click("#typed-go")?;
    browser.wait(&format!(
        "document.querySelector('#apart-view .named').textContent === 'your row' && {parts} > 0"
    ))?;
    if browser.value("Boolean(rarefy.shape)")? == true {
        browser.click("#pad")?;
        browser
            .wait("document.querySelector('#apart-view .named').textContent === 'your drawing'")?;
    }
    Ok(())
}

/// Clicks a point of the map, and moves the slider of the penalty if there is one.
fn use_map(browser: &mut Browser) -> Result<()> {
    browser.value("document.querySelector('#map').scrollIntoView({block: 'center'})")?;
    let place = browser.value(
        "(() => { const b = document.querySelector('#map').getBoundingClientRect(), p = rarefy.D.place; \
         return [b.x + (0.03 + 0.94 * p[10]) * b.width, b.y + (0.97 - 0.94 * p[11]) * b.height]; })()",
    )?;
    for kind in ["mouseMoved", "mousePressed", "mouseReleased"] {
        let event = serde_json::json!({"type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1});
        browser.call("Input.dispatchMouseEvent", event)?;
    }
    browser.wait(
        "rarefy.opened >= 0 && document.querySelector('#map-tip').textContent.startsWith('#')",
    )?;
    browser.click("#latent .steps button")?;
    if browser.value("Boolean(document.querySelector('#rho'))")? == true {
        let path = "document.querySelector('svg.penalty .curve').getAttribute('d')";
        let before = browser.value(path)?;
        browser.value("(e => { e.value = -1.5; e.dispatchEvent(new Event('input')); })(document.querySelector('#rho'))")?;
        ensure!(browser.value(path)? != before, "the penalty stays as it is");
    }
    Ok(())
}

/// Switches between light and dark, with a screenshot of each.
fn use_theme(
    browser: &mut Browser,
    page: &Page,
    width: usize,
    screenshots: Option<&Path>,
) -> Result<()> {
    let colour = "getComputedStyle(document.body).backgroundColor";
    let first = browser.value(colour)?;
    let shoot = |browser: &mut Browser, theme: &str| {
        let Some(folder) = screenshots else {
            return Ok(());
        };
        std::fs::create_dir_all(folder)?;
        let file = |part: &str| folder.join(format!("{}-{width}-{theme}-{part}.png", page.name));
        browser.value("scrollTo(0, 0)")?;
        browser.screenshot(&file("page"), true)?;
        browser.value(
            "location.hash = 'latent-3'; document.querySelector('#latents').scrollIntoView()",
        )?;
        browser.wait("rarefy.opened === 3")?;
        browser.screenshot(&file("latent"), false)?;
        browser.click("#latent .steps button")
    };
    shoot(browser, "light")?;
    browser.click("#theme")?;
    ensure!(
        browser.value(colour)? != first,
        "the page keeps its colours"
    );
    shoot(browser, "dark")
}

/// A note is there when the page is opened again.
fn notes_stay(browser: &mut Browser, page: &Page) -> Result<()> {
    browser.open(&page.file)?;
    browser.value("location.hash = 'latent-2'")?;
    browser.wait("document.querySelector('#latent textarea')")?;
    browser.fill("#latent textarea", "a round stroke")?;
    browser.open(&page.file)?;
    browser.wait("rarefy.notes.get(2) === 'a round stroke'")
}

/// Keys of a latent and of an example in SAEDashboard 0.8.0 (`NeuronpediaDashboardFeature`, `NeuronpediaDashboardActivation`).
const OF_LATENT: &[&str] = &[
    "feature_index",
    "pos_str",
    "pos_values",
    "neg_str",
    "neg_values",
    "frac_nonzero",
    "freq_hist_data_bar_values",
    "freq_hist_data_bar_heights",
    "correlated_features_indices",
    "correlated_features_pearson",
    "activations",
];
const OF_EXAMPLE: &[&str] = &[
    "bin_min",
    "bin_max",
    "bin_contains",
    "tokens",
    "values",
    "qualifying_token_index",
];

/// The files for other programs have keys that these programs know.
fn files_have_the_keys_of_others(browser: &mut Browser) -> Result<()> {
    // The page makes a link to the file; the test keeps its text.
    browser.value("URL.createObjectURL = blob => { blob.text().then(text => { window.saved = text; }); return 'data:,'; }, 0")?;
    browser.click("#save-saedashboard")?;
    browser.wait("window.saved")?;
    for (what, keys) in [
        ("JSON.parse(saved).features[0]", OF_LATENT),
        ("JSON.parse(saved).features[0].activations[0]", OF_EXAMPLE),
    ] {
        let found = browser.value(&format!("Object.keys({what})"))?;
        ensure!(found == serde_json::json!(keys), "{what}: {found}");
    }
    browser.value("window.saved = ''")?;
    browser.click("#save-neuronpedia")?;
    browser.wait("window.saved")?;
    let note =
        browser.value("JSON.parse(saved.split('\\n').find(line => line.includes('human')))")?;
    ensure!(
        note["index"] == "2" && note["description"] == "a round stroke",
        "explanations: {note}"
    );
    Ok(())
}
