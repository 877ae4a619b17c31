//! The one place that makes text of diagnostics: for people through `annotate-snippets`, for programs as JSON.

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Patch, Renderer, Snippet};
use serde_json::{Value, json};

use crate::diagnostic::{Diagnostic, Label, Severity};
use crate::sources::Sources;
use crate::span::{FileId, Span};

/// How diagnostics are shown.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    /// With terminal colours.
    pub color: bool,
    /// One line each: place, code and message.
    pub short: bool,
}

/// The text of some diagnostics, with a blank line between two. Spans outside their files are moved inside, labels in unknown
/// files are left out.
pub fn render(diagnostics: &[Diagnostic], sources: &Sources, style: Style) -> String {
    let renderer = if style.color { Renderer::styled() } else { Renderer::plain() };
    let renderer = renderer.decor_style(DecorStyle::Ascii).short_message(style.short);
    let separator = if style.short { "\n" } else { "\n\n" };
    let shown: Vec<String> = diagnostics.iter().map(|fault| renderer.render(&report(fault, sources))).collect();
    let mut text = shown.join(separator);
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

fn report<'a>(fault: &'a Diagnostic, sources: &'a Sources) -> Vec<Group<'a>> {
    let level = match fault.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group = Group::with_title(level.primary_title(fault.message.as_str()).id(fault.code));
    for file in files(&fault.labels) {
        let Some(source) = sources.get(file) else {
            continue;
        };
        let annotations = fault.labels.iter().filter(|label| label.span.file == file).map(|label| {
            let kind = if label.primary { AnnotationKind::Primary } else { AnnotationKind::Context };
            let annotation = kind.span(source.clamp(label.span));
            if label.text.is_empty() { annotation } else { annotation.label(label.text.as_str()) }
        });
        let snippet = Snippet::source(source.text.as_str()).path(source.path.as_str()).annotations(annotations);
        group = group.element(snippet);
    }
    group = group.elements(fault.notes.iter().map(|note| Level::NOTE.message(note.as_str())));
    group = group.elements(fault.help.iter().map(|help| Level::HELP.message(help.as_str())));
    let mut groups = vec![group];
    if let Some(fix) = &fault.fix
        && let Some(source) = sources.get(fix.span.file)
    {
        let patch = Patch::new(source.clamp(fix.span), fix.replacement.as_str());
        let snippet = Snippet::source(source.text.as_str()).path(source.path.as_str()).patch(patch);
        groups.push(Level::HELP.secondary_title(fix.title.as_str()).element(snippet));
    }
    groups
}

/// The files of the labels, each once, that of the primary label first.
fn files(labels: &[Label]) -> Vec<FileId> {
    let mut files = Vec::new();
    let (primary, others): (Vec<_>, Vec<_>) = labels.iter().partition(|label| label.primary);
    for label in primary.into_iter().chain(others) {
        if !files.contains(&label.span.file) {
            files.push(label.span.file);
        }
    }
    files
}

/// A diagnostic for programs: `file`, `line` and `column` (from 1) of the primary label, `code`, `severity`, `message`, `labels`,
/// `notes`, `help` and `fix` (or null). Places also have their bytes, `start` and `end`.
pub fn to_json(fault: &Diagnostic, sources: &Sources) -> Value {
    let primary = fault.labels.iter().find(|label| label.primary).or(fault.labels.first());
    let mut value = primary.map_or_else(|| json!({}), |label| place(label.span, sources));
    let labels = fault.labels.iter().map(|label| {
        let mut value = place(label.span, sources);
        value["text"] = json!(label.text);
        value["primary"] = json!(label.primary);
        value
    });
    value["labels"] = labels.collect();
    value["code"] = json!(fault.code);
    value["severity"] = json!(match fault.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    });
    value["message"] = json!(fault.message);
    value["notes"] = json!(fault.notes);
    value["help"] = json!(fault.help);
    value["fix"] = fault.fix.as_ref().map_or(Value::Null, |fix| {
        let mut value = place(fix.span, sources);
        value["replacement"] = json!(fix.replacement);
        value["title"] = json!(fix.title);
        value
    });
    value
}

fn place(span: Span, sources: &Sources) -> Value {
    let Some(source) = sources.get(span.file) else {
        return json!({ "file": null, "line": null, "column": null, "start": span.start, "end": span.end });
    };
    let bytes = source.clamp(span);
    let (line, column) = source.line_column(span.start);
    json!({ "file": source.path, "line": line, "column": column, "start": bytes.start, "end": bytes.end })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_files() -> (Sources, Diagnostic) {
        let mut sources = Sources::new();
        let a = sources.add("a.weft", "axis feature = 3\nx = featur\n");
        let b = sources.add("b.weft", "axis feature = 4\n");
        let fault =
            Diagnostic::error("W0101", "unknown name `featur`", Span { file: a, start: 21, end: 27 }, "not declared")
                .label(Span { file: b, start: 5, end: 12 }, "a name like it is declared here")
                .expected("[batch]", "[batch, featur]")
                .help("axes are declared with `axis`")
                .fix(Span { file: a, start: 21, end: 27 }, "feature", "rename it to `feature`");
        (sources, fault)
    }

    #[test]
    fn labels_notes_help_and_fix_are_shown() {
        let (sources, fault) = two_files();
        insta::assert_snapshot!(render(&[fault], &sources, Style::default()));
    }

    #[test]
    fn json_has_every_part() {
        let (sources, fault) = two_files();
        insta::assert_snapshot!(serde_json::to_string_pretty(&to_json(&fault, &sources)).unwrap_or_default());
    }

    #[test]
    fn impossible_places_do_not_panic() {
        let mut sources = Sources::new();
        let file = sources.add("é.weft", "é\r\n");
        let empty = sources.add("empty.weft", "");
        for (file, start, end) in
            [(file, 1, 1), (file, 0, 99), (file, 99, 0), (file, 3, 4), (empty, 0, 0), (empty, 5, 9), (FileId(9), 0, 1)]
        {
            let span = Span { file, start, end };
            let fault = Diagnostic::error("W0001", "m", span, "").label(span, "l").fix(span, "\n", "t");
            for style in [Style { color: true, short: false }, Style { color: false, short: true }] {
                assert!(render(std::slice::from_ref(&fault), &sources, style).contains('m'));
            }
            assert_eq!(to_json(&fault, &sources)["code"], "W0001");
        }
    }
}
