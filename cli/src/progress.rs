//! The progress line on stderr: virtual time, speed and time left.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use hyperspace_sim::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::note;

/// Between two redraws.
const REDRAW: Duration = Duration::from_millis(200);
/// Between two lines where there is no terminal to redraw on.
const LINE: Duration = Duration::from_secs(1);

/// How much is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// Nothing.
    Quiet,
    /// A line on a terminal, nothing elsewhere.
    Line,
    /// With deliveries, and line by line where there is no terminal.
    Watch,
}

/// The line of one run.
pub(crate) struct Display {
    label: String,
    style: Style,
    bar: Option<ProgressBar>,
    start: Instant,
    shown: Instant,
}

impl Display {
    /// A line for the run called `label`.
    pub(crate) fn new(label: String, style: Style) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let bar = (style != Style::Quiet && terminal).then(|| {
            let bar = ProgressBar::with_draw_target(Some(1000), ProgressDrawTarget::stderr());
            let template =
                ProgressStyle::with_template("{bar:20} {msg}").unwrap_or(ProgressStyle::default_bar());
            bar.set_style(template);
            bar
        });
        let now = Instant::now();
        Self { label, style, bar, start: now, shown: now }
    }

    /// Shows how far the run is, if the last time was long enough ago.
    pub(crate) fn update(&mut self, progress: &Progress) {
        let wait = if self.bar.is_some() { REDRAW } else { LINE };
        if self.style == Style::Quiet || self.shown.elapsed() < wait {
            return;
        }
        self.shown = Instant::now();
        if let Some(bar) = &self.bar {
            bar.set_message(self.text(progress));
            bar.set_position((share(progress) * 1000.0) as u64);
        } else if self.style == Style::Watch {
            note(&self.text(progress));
        }
    }

    fn text(&self, progress: &Progress) -> String {
        let wall = self.start.elapsed().as_secs_f64().max(1e-9);
        let left = wall / share(progress).max(1e-9) - wall;
        let speed = progress.events as f64 / wall;
        let mut text = format!(
            "{}  {:.1} of {:.1} s  {} events/s  {left:.0} s left",
            self.label,
            progress.now.as_secs_f64(),
            progress.end.as_secs_f64(),
            short(speed)
        );
        if self.style == Style::Watch {
            text.push_str(&format!("  {} deliveries", short(progress.delivered as f64)));
        }
        text
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn share(progress: &Progress) -> f64 {
    progress.now.as_secs_f64() / progress.end.as_secs_f64().max(1e-9)
}

/// A large number for people: `12.3 M`.
pub(crate) fn short(number: f64) -> String {
    match number {
        n if n >= 1e9 => format!("{:.2} G", n / 1e9),
        n if n >= 1e6 => format!("{:.2} M", n / 1e6),
        n if n >= 1e4 => format!("{:.1} k", n / 1e3),
        n => format!("{n:.0}"),
    }
}
