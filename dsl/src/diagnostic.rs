//! Errors as data. [`crate::render`] is the one place that makes text of them.

use crate::span::Span;

/// How grave a diagnostic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The specification cannot be compiled.
    Error,
    /// It can, but it is likely not what was meant.
    Warning,
}

/// A place with what is to be said of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Label {
    /// The place.
    pub span: Span,
    /// A short phrase; empty to only underline.
    pub text: String,
    /// The place of the fault itself, as against one that explains it.
    pub primary: bool,
}

/// A change that would mend the fault.
#[derive(Clone, Debug, PartialEq)]
pub struct Fix {
    /// What is replaced (empty: an insertion).
    pub span: Span,
    /// The new text.
    pub replacement: String,
    /// What it does, as an imperative: "rename it to `feature`".
    pub title: String,
}

/// One message to the user.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagnostic {
    /// Which kind of fault: a row of [`crate::codes::CODES`], such as `W0101`.
    pub code: &'static str,
    /// How grave.
    pub severity: Severity,
    /// One sentence, in the user's names.
    pub message: String,
    /// The places, primary first.
    pub labels: Vec<Label>,
    /// Notes below the source, such as `expected [batch, time]` and `found [batch, feature]`.
    pub notes: Vec<String>,
    /// What to do.
    pub help: Vec<String>,
    /// A change that would mend it.
    pub fix: Option<Fix>,
}

impl Diagnostic {
    /// An error at a place.
    pub fn error(code: &'static str, message: impl Into<String>, span: Span, label: impl Into<String>) -> Self {
        Self {
            code,
            severity: Severity::Error,
            message: message.into(),
            labels: vec![Label { span, text: label.into(), primary: true }],
            notes: Vec::new(),
            help: Vec::new(),
            fix: None,
        }
    }

    /// Adds a place that explains the fault.
    pub fn label(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label { span, text: text.into(), primary: false });
        self
    }

    /// Shows it at a place that led to it: where it lay explains it, and nothing is to be changed there.
    pub fn led_to_by(&mut self, place: Span) {
        self.labels.iter_mut().for_each(|label| label.primary = false);
        self.labels.insert(0, Label { span: place, text: "in what is made or called here".into(), primary: true });
        self.fix = None;
    }

    /// Adds a note.
    pub fn note(mut self, text: impl Into<String>) -> Self {
        self.notes.push(text.into());
        self
    }

    /// Says what was expected and what was found.
    pub fn expected(self, expected: impl std::fmt::Display, found: impl std::fmt::Display) -> Self {
        self.note(format!("expected {expected}\n   found {found}"))
    }

    /// Adds what to do.
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help.push(text.into());
        self
    }

    /// Adds a change that would mend it.
    pub fn fix(mut self, span: Span, replacement: impl Into<String>, title: impl Into<String>) -> Self {
        self.fix = Some(Fix { span, replacement: replacement.into(), title: title.into() });
        self
    }
}
