//! A browser without a window, driven over the `DevTools` protocol.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

/// Names under which Chromium is installed.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

/// Longest time for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Path of an installed Chromium: that of the variable `CHROMIUM`, or one of its usual names.
pub fn installed() -> Option<PathBuf> {
    let named = std::env::var_os("CHROMIUM").map(PathBuf::from);
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let mut usual = std::env::split_paths(&folders)
        .flat_map(|folder| NAMES.map(|name| folder.join(name)))
        .filter(|path| path.is_file());
    named.or_else(|| usual.next())
}

/// A running browser with one page.
pub struct Browser {
    process: Child,
    socket: WebSocket<TcpStream>,
    session: String,
    last: u64,
    /// Messages of the page's console that report errors, and requests for anything but the page itself.
    pub faults: Vec<String>,
}

impl Browser {
    /// Starts a browser that keeps its files in `profile`, with an empty page.
    pub fn start(program: &Path, profile: &Path) -> Result<Self> {
        let mut process = Command::new(program)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--hide-scrollbars",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--remote-debugging-port=0",
            ])
            .arg(format!("--user-data-dir={}", profile.display()))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("the browser could not be started")?;
        let stderr = process.stderr.take().context("stderr is a pipe")?;
        let mut lines = BufReader::new(stderr).lines();
        let address = lines
            .by_ref()
            .map_while(std::result::Result::ok)
            .find_map(|line| {
                line.strip_prefix("DevTools listening on ")
                    .map(str::to_owned)
            })
            .context("the browser names no address")?;
        // The browser stops if nobody reads what it says.
        std::thread::spawn(move || lines.for_each(drop));
        let host = address.trim_start_matches("ws://").split('/').next();
        let stream = TcpStream::connect(host.context("an address has a host")?)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let (socket, _) = tungstenite::client(address.as_str(), stream)
            .map_err(|error| anyhow::anyhow!("no connection to the browser: {error}"))?;
        let session = String::new();
        let mut browser = Self {
            process,
            socket,
            session,
            last: 0,
            faults: Vec::new(),
        };
        let target = browser.call("Target.createTarget", json!({"url": "about:blank"}))?;
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let attached = browser.call("Target.attachToTarget", attach)?;
        let session = attached["sessionId"].as_str();
        session
            .context("a session has a name")?
            .clone_into(&mut browser.session);
        for domain in ["Page", "Runtime", "Network", "Log"] {
            browser.call(&format!("{domain}.enable"), json!({}))?;
        }
        Ok(browser)
    }

    /// Calls a method of the protocol and waits for its answer.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "parameters are written in the call"
    )]
    pub fn call(&mut self, method: &str, params: Value) -> Result<Value> {
        self.last += 1;
        let mut message = json!({"id": self.last, "method": method, "params": params});
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        self.socket.send(Message::text(message.to_string()))?;
        loop {
            let message = self.receive().with_context(|| method.to_owned())?;
            if message["id"] == self.last {
                if let Some(error) = message.get("error") {
                    bail!("{method}: {error}");
                }
                return Ok(message["result"].clone());
            }
        }
    }

    /// Next message of the browser; errors and requests of the page are kept.
    fn receive(&mut self) -> Result<Value> {
        loop {
            let Message::Text(text) = self.socket.read()? else {
                continue;
            };
            let message: Value = serde_json::from_str(&text)?;
            let params = &message["params"];
            let fault = match message["method"].as_str() {
                Some("Runtime.exceptionThrown") => Some(params["exceptionDetails"].to_string()),
                Some("Runtime.consoleAPICalled") if params["type"] == "error" => {
                    Some(params["args"].to_string())
                }
                Some("Log.entryAdded") if params["entry"]["level"] == "error" => {
                    Some(params["entry"].to_string())
                }
                Some("Network.requestWillBeSent") => {
                    let url = params["request"]["url"].as_str().unwrap_or_default();
                    let is_own = ["file:", "data:", "blob:", "about:"]
                        .iter()
                        .any(|kind| url.starts_with(kind));
                    (!is_own).then(|| format!("request for {url}"))
                }
                _ => None,
            };
            self.faults.extend(fault);
            return Ok(message);
        }
    }

    /// Sets the size of the window in pixels.
    pub fn resize(&mut self, width: usize, height: usize) -> Result<()> {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        self.call("Emulation.setDeviceMetricsOverride", size)
            .map(drop)
    }

    /// Opens a file and waits until its script is ready; returns the time in milliseconds from the call.
    pub fn open(&mut self, file: &Path) -> Result<f64> {
        // A page that differs in its fragment alone would not be loaded again.
        self.call("Page.navigate", json!({"url": "about:blank"}))?;
        let start = Instant::now();
        self.call(
            "Page.navigate",
            json!({"url": format!("file://{}", file.display())}),
        )?;
        self.wait("document.documentElement.dataset.ready")?;
        Ok(1e3 * start.elapsed().as_secs_f64())
    }

    /// Value of an expression in the page.
    pub fn value(&mut self, expression: &str) -> Result<Value> {
        let params = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let answer = self.call("Runtime.evaluate", params)?;
        if let Some(details) = answer.get("exceptionDetails") {
            bail!("{expression}: {details}");
        }
        Ok(answer["result"]["value"].clone())
    }

    /// Waits until an expression is true, for at most ten seconds.
    pub fn wait(&mut self, expression: &str) -> Result<()> {
        for _ in 0..500 {
            // A page that is being loaded may have no document yet.
            let value = self
                .value(&format!("Boolean({expression})"))
                .unwrap_or_default();
            if value == true {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!(
            "this was never true: {expression}; faults of the page: {:?}",
            self.faults
        )
    }

    /// Moves, presses or releases the pointer over the middle of an element.
    pub fn click(&mut self, selector: &str) -> Result<()> {
        let place = self.value(&format!(
            "(() => {{ const e = document.querySelector({selector:?}); e.scrollIntoView({{block: 'center'}}); \
             const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; }})()"
        ))?;
        for kind in ["mouseMoved", "mousePressed", "mouseReleased"] {
            let event = json!({"type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1});
            self.call("Input.dispatchMouseEvent", event)?;
        }
        Ok(())
    }

    /// Types a text into a field, in place of its old text.
    pub fn fill(&mut self, selector: &str, text: &str) -> Result<()> {
        self.value(&format!("document.querySelector({selector:?}).select()"))?;
        self.value(&format!("document.querySelector({selector:?}).focus()"))?;
        if text.is_empty() {
            let script = format!(
                "(e => {{ e.value = ''; e.dispatchEvent(new Event('input')); }})(document.querySelector({selector:?}))"
            );
            return self.value(&script).map(drop);
        }
        self.call("Input.insertText", json!({"text": text}))
            .map(drop)
    }

    /// Chooses an entry of a list by its value.
    pub fn choose(&mut self, selector: &str, value: &str) -> Result<()> {
        let script = format!(
            "(e => {{ e.value = {value:?}; e.dispatchEvent(new Event('change')); return e.value; }})\
             (document.querySelector({selector:?}))"
        );
        if self.value(&script)? != value {
            bail!("{selector} has no entry {value}");
        }
        Ok(())
    }

    /// Writes a picture of the window, or of the whole page.
    pub fn screenshot(&mut self, file: &Path, whole: bool) -> Result<()> {
        use base64::Engine;
        let params = json!({"format": "png", "captureBeyondViewport": whole});
        let answer = self.call("Page.captureScreenshot", params)?;
        let text = answer["data"].as_str().context("a screenshot has data")?;
        std::fs::write(
            file,
            base64::engine::general_purpose::STANDARD.decode(text)?,
        )?;
        Ok(())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
