//! "Did you mean": the nearest of the names that would have been right.

use crate::diagnostic::Diagnostic;
use crate::span::Span;

/// The nearest name, if one is near enough to be a slip.
pub(crate) fn nearest<'a>(name: &str, among: impl Iterator<Item = &'a str>) -> Option<String> {
    among
        .filter(|other| *other != name)
        .map(|other| (strsim::damerau_levenshtein(name, other), other))
        .filter(|(distance, other)| {
            let longest = name.chars().count().max(other.chars().count());
            // Of names of one or two letters any other is near; beyond a third of the letters it is another word.
            longest > 2 && *distance * 3 <= longest
        })
        .min()
        .map(|(_, other)| other.to_owned())
}

/// Adds the nearest name to a diagnostic as a fix.
pub(crate) fn suggest(diagnostic: Diagnostic, span: Span, near: Option<String>) -> Diagnostic {
    match near {
        Some(near) => diagnostic.fix(span, near.clone(), format!("did you mean `{near}`?")),
        None => diagnostic,
    }
}

/// `a`, `b` and `c`
pub(crate) fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.map(|name| format!("`{name}`")).collect();
    match names.split_last() {
        None => "none".into(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn only_slips_are_suggested() {
        let near = |name: &str, other: &str| nearest(name, [other].into_iter()).is_some();
        assert!(near("widht", "width") && near("tme", "time") && near("attenton", "attention"));
        assert!(!near("scale", "shape") && !near("rank", "mask") && !near("ab", "a"));
    }
}
