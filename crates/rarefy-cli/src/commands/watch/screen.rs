//! The terminal while a run is watched: a screen beside the shell's, keys, and the way back.

use std::fmt::Write as _;
use std::io::{self, Write, stdout};
use std::sync::Once;
use std::time::{Duration, Instant};

use crossterm::event::{Event, KeyCode, KeyModifiers, poll, read};
use crossterm::style::{Color, ResetColor, SetForegroundColor};
use crossterm::terminal::{
    BeginSynchronizedUpdate, Clear, ClearType, DisableLineWrap, EnableLineWrap,
    EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode,
    enable_raw_mode,
};
use crossterm::{Command, cursor, execute, terminal};

/// A second screen of the terminal. The shell's screen comes back when the value is dropped, on a panic, and on a signal.
pub struct Screen {
    /// True if the bar and curves are coloured.
    colours: bool,
}

impl Screen {
    /// Opens the screen; keys are read as they are pressed.
    pub fn open() -> io::Result<Self> {
        static PREPARED: Once = Once::new();
        PREPARED.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                restore();
                before(panic);
            }));
            // Ctrl-C is a key here; this is for signals of other programs.
            let _ = ctrlc::set_handler(|| {
                restore();
                std::process::exit(130);
            });
        });
        enable_raw_mode()?;
        let colours = std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
        let screen = Self { colours };
        execute!(
            stdout(),
            EnterAlternateScreen,
            DisableLineWrap,
            cursor::Hide
        )?;
        Ok(screen)
    }

    /// Draws lines from the upper left, and a line on the keys below.
    pub fn draw(&self, lines: &[String]) -> io::Result<()> {
        let mut text = String::new();
        add(&mut text, BeginSynchronizedUpdate);
        add(&mut text, cursor::MoveTo(0, 0));
        let (_, height) = size();
        let empty = std::iter::repeat_n("", height.saturating_sub(lines.len()));
        for line in lines.iter().map(String::as_str).chain(empty) {
            if self.colours {
                coloured(&mut text, line);
            } else {
                text.push_str(line);
            }
            add(&mut text, Clear(ClearType::UntilNewLine));
            text.push_str("\r\n");
        }
        text.push_str("q leaves; the run goes on");
        add(&mut text, Clear(ClearType::FromCursorDown));
        add(&mut text, EndSynchronizedUpdate);
        let mut out = stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

/// Width of the terminal, and height without the line on the keys, in characters.
pub fn size() -> (usize, usize) {
    let (width, height) = terminal::size().unwrap_or((80, 24));
    (width.into(), usize::from(height).saturating_sub(1))
}

/// Waits; true as soon as a key to leave was pressed. A new size of the terminal ends the wait.
pub fn is_left_within(time: Duration) -> io::Result<bool> {
    let end = Instant::now() + time;
    while poll(end.saturating_duration_since(Instant::now()))? {
        match read()? {
            Event::Key(key) => {
                let with_control = key.modifiers.contains(KeyModifiers::CONTROL);
                let leaves = match key.code {
                    KeyCode::Char('c' | 'd') if with_control => true,
                    KeyCode::Char('q' | 'Q') | KeyCode::Esc => true,
                    _ => false,
                };
                if leaves {
                    return Ok(true);
                }
            }
            Event::Resize(..) => return Ok(false),
            _ => {}
        }
    }
    Ok(false)
}

/// Gives the terminal back to the shell.
fn restore() {
    let _ = execute!(
        stdout(),
        EndSynchronizedUpdate,
        LeaveAlternateScreen,
        EnableLineWrap,
        cursor::Show
    );
    let _ = disable_raw_mode();
}

/// Adds the escape sequence of a command.
fn add(text: &mut String, command: impl Command) {
    let _ = command.write_ansi(text);
}

/// Adds a line with its bar and curves in colour.
fn coloured(text: &mut String, line: &str) {
    let is_drawn = |c: char| matches!(c, '\u{2800}'..='\u{28ff}' | '━');
    let mut in_colour = false;
    for c in line.chars() {
        if is_drawn(c) != in_colour {
            in_colour = !in_colour;
            if in_colour {
                add(text, SetForegroundColor(Color::Cyan));
            } else {
                add(text, ResetColor);
            }
        }
        let _ = text.write_char(c);
    }
    if in_colour {
        add(text, ResetColor);
    }
}
