//! Command `rarefy watch`: curves of a run in the terminal, while another process trains it.

mod curve;
mod picture;
mod screen;

use std::io::{IsTerminal, stdout};
use std::time::{Duration, Instant};

use rarefy::Error;
use rarefy_run::figures;
use rarefy_run::folder::Run;
use rarefy_run::follow::{self, Follower, State};
use rarefy_run::records::Record;
use serde_json::{Value, json};

use crate::cli::WatchArgs;
use crate::output;
use picture::Picture;
use screen::Screen;

/// Time between two looks at the run.
const INTERVAL: Duration = Duration::from_millis(500);

/// Size of a picture that is not shown in a terminal.
const PLAIN: (usize, usize) = (80, 24);

pub fn run(args: &WatchArgs) -> anyhow::Result<()> {
    let mut watched = Watched::open(Run::at(&args.run))?;
    if args.json {
        return output::json(&watched.json());
    }
    if args.once || !stdout().is_terminal() {
        return output::print(&watched.picture().lines(PLAIN).join("\n"));
    }
    live(&mut watched)?;
    output::print(&watched.picture().head())
}

/// Shows the run until the reader leaves.
fn live(watched: &mut Watched) -> anyhow::Result<()> {
    let screen = Screen::open()?;
    loop {
        screen.draw(&watched.picture().lines(screen::size()))?;
        if screen::is_left_within(INTERVAL)? {
            return Ok(());
        }
        watched.update()?;
    }
}

/// A run, as far as it is written.
struct Watched {
    run: Run,
    follower: Follower,
    state: State,
    settings: toml::Table,
    finished: Option<figures::Figures>,
    /// Time and step of the first record that was written under the eyes of this process, to tell the speed.
    since: Option<(Instant, usize)>,
}

impl Watched {
    fn open(run: Run) -> anyhow::Result<Self> {
        let about = std::fs::metadata(run.folder()).map_err(Error::io(run.folder()))?;
        if !about.is_dir() {
            let why = "expected a run folder, got a file";
            return Err(Error::format(run.folder(), why).into());
        }
        let mut watched = Self {
            follower: Follower::of(&run),
            state: State::Stopped,
            settings: toml::Table::new(),
            finished: None,
            since: None,
            run,
        };
        watched.update()?;
        watched.since = None;
        if watched.state == State::Stopped && watched.records().is_empty() {
            let folder = watched.run.folder();
            let why = format!(
                "the run has no records of its steps, and no process is writing it; start it with: rarefy train --out {} --resume",
                folder.display()
            );
            return Err(Error::format(folder, why).into());
        }
        Ok(watched)
    }

    /// Reads new records, and the state again.
    fn update(&mut self) -> anyhow::Result<()> {
        let before = self.records().len();
        if self.follower.update()? {
            let step = self.last().map_or(0, |record| record.step);
            // Fewer records than before: the run began anew, or was resumed.
            let is_first = self.since.is_none() || self.records().len() < before;
            if is_first {
                self.since = Some((Instant::now(), step));
            }
        }
        let step = self.last().map(|record| record.step);
        self.state = follow::state(&self.run, step)?;
        // A run that reads its rows has no configuration yet.
        let is_held = matches!(self.state, State::Held(_));
        if !is_held || self.run.config_path().exists() {
            self.settings = self.run.settings()?;
        }
        let is_ended = self.state == State::Ended;
        self.finished = if is_ended {
            figures::read(&self.run)?
        } else {
            None
        };
        Ok(())
    }

    fn records(&self) -> &[Record] {
        self.follower.records()
    }

    fn last(&self) -> Option<&Record> {
        self.records().last()
    }

    /// Steps that are planned.
    fn steps(&self) -> Option<usize> {
        let steps = self.settings.get("train")?.get("steps")?.as_integer()?;
        usize::try_from(steps).ok()
    }

    /// Time to the last step, at the speed since the first record that was seen coming.
    fn left(&self) -> Option<Duration> {
        let is_held = matches!(&self.state, State::Held(holder) if !holder.is_gone);
        let (since, first) = self.since.filter(|_| is_held)?;
        let step = self.last()?.step;
        let done = step.checked_sub(first).filter(|done| *done > 0)?;
        // Until the newest record: a run that stands still has no less time left.
        let took = since.elapsed().checked_sub(self.follower.age()?)?;
        let left = self.steps()?.saturating_sub(step);
        Duration::try_from_secs_f64(took.as_secs_f64() / done as f64 * left as f64).ok()
    }

    fn picture(&self) -> Picture<'_> {
        let model = |key: &str| self.settings.get("model").and_then(|model| model.get(key));
        let latents = model("latents").and_then(toml::Value::as_integer);
        let about = [
            model("arch").and_then(|arch| Some(arch.as_str()?.to_owned())),
            latents.map(|n| format!("{n} latents")),
        ];
        Picture {
            name: self.run.folder().display().to_string(),
            about: about.into_iter().flatten().collect(),
            state: self.told(),
            records: self.records(),
            steps: self.steps(),
            left: self.left(),
            finished: self.finished.as_ref(),
        }
    }

    /// State in words.
    fn told(&self) -> String {
        let State::Held(holder) = &self.state else {
            let is_ended = self.state == State::Ended;
            return if is_ended {
                "ended".into()
            } else {
                "stopped before its end; continue it with --resume".into()
            };
        };
        let process = holder.process.map(|id| id.to_string()).unwrap_or_default();
        // Clocks of file servers may differ by seconds.
        let age = self.follower.age().filter(|age| age.as_secs() >= 30);
        let silent = age.filter(|_| !self.records().is_empty());
        let silent = silent.map_or_else(String::new, |age| {
            let age = indicatif::HumanDuration(age);
            format!(", last record {age:#} ago")
        });
        if holder.is_gone {
            return format!(
                "no process {process} on this machine: killed, or running on another{silent}"
            );
        }
        format!("in progress, process {process}{silent}")
    }

    /// State, steps and newest record as one object.
    fn json(&self) -> Value {
        let (state, process, gone) = match &self.state {
            State::Held(holder) => ("in progress", holder.process, Some(holder.is_gone)),
            State::Ended => ("ended", None, None),
            State::Stopped => ("stopped", None, None),
        };
        json!({
            "run": self.run.folder().display().to_string(), "state": state, "process": process, "process_is_gone": gone,
            "step": self.last().map_or(0, |record| record.step), "steps": self.steps(), "record": self.last(),
        })
    }
}
