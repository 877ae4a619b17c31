//! Text with places where it may break, laid out to a width (after Wadler, "A prettier printer", 2003).

/// The widest line that the formatter makes where it has a choice.
const WIDTH: usize = 110;

/// What one level of nesting adds.
const INDENT: usize = 2;

/// A piece of output.
#[derive(Clone, Debug)]
pub(super) enum Doc {
    /// Text without a line feed.
    Text(String),
    /// A space, or a line feed when the group breaks.
    Line,
    /// Nothing, or a line feed when the group breaks.
    Soft,
    /// A line feed; breaks the groups around it.
    Hard,
    /// Only when the group breaks.
    IfBroken(&'static str),
    /// A comment at the end of the line that is being written; breaks the groups around it.
    Comment(String),
    /// One level further in.
    Indent(Box<Doc>),
    /// On one line if it fits; the flag says that it must break.
    Group(Box<Doc>, bool),
    /// One after another.
    Concat(Vec<Doc>),
}

impl Doc {
    pub fn text(text: impl Into<String>) -> Doc {
        Doc::Text(text.into())
    }

    pub fn indent(inner: Doc) -> Doc {
        Doc::Indent(Box::new(inner))
    }

    pub fn group(inner: Doc) -> Doc {
        let forced = inner.must_break();
        Doc::Group(Box::new(inner), forced)
    }

    /// Whether something in it cannot stand on one line.
    pub fn must_break(&self) -> bool {
        match self {
            Doc::Hard | Doc::Comment(_) => true,
            Doc::Indent(inner) => inner.must_break(),
            Doc::Group(_, forced) => *forced,
            Doc::Concat(parts) => parts.iter().any(Doc::must_break),
            _ => false,
        }
    }

    /// The parts with `separator` between two.
    pub fn join(parts: Vec<Doc>, separator: &Doc) -> Doc {
        let mut joined = Vec::new();
        for (i, part) in parts.into_iter().enumerate() {
            if i > 0 {
                joined.push(separator.clone());
            }
            joined.push(part);
        }
        Doc::Concat(joined)
    }
}

/// `concat!["fn ", name, params]`-like shorthand.
macro_rules! concat_docs {
    ($($part:expr),* $(,)?) => { Doc::Concat(vec![$(Doc::from($part)),*]) };
}
pub(super) use concat_docs;

impl From<&str> for Doc {
    fn from(text: &str) -> Doc {
        Doc::text(text)
    }
}

impl From<String> for Doc {
    fn from(text: String) -> Doc {
        Doc::Text(text)
    }
}

type Todo<'a> = (usize, bool, &'a Doc);

/// Lays a piece out. The flag in the work list says whether its lines break.
pub(super) fn print(doc: &Doc) -> String {
    let mut out = String::new();
    let mut column = 0;
    let mut comments: Vec<&str> = Vec::new();
    let mut todo: Vec<Todo<'_>> = vec![(0, true, doc)];
    while let Some((indent, broken, doc)) = todo.pop() {
        match doc {
            Doc::Text(text) => {
                out.push_str(text);
                column += text.chars().count();
            }
            Doc::IfBroken(text) => {
                if broken {
                    out.push_str(text);
                }
            }
            Doc::Line if !broken => {
                out.push(' ');
                column += 1;
            }
            Doc::Soft if !broken => {}
            Doc::Line | Doc::Soft | Doc::Hard => {
                end_line(&mut out, &mut comments);
                out.push('\n');
                out.push_str(&" ".repeat(indent));
                column = indent;
            }
            Doc::Comment(text) => comments.push(text),
            Doc::Indent(inner) => todo.push((indent + INDENT, broken, inner)),
            Doc::Group(inner, forced) => {
                let broken = *forced || !fits(WIDTH.saturating_sub(column), inner, &todo);
                todo.push((indent, broken, inner));
            }
            Doc::Concat(parts) => todo.extend(parts.iter().rev().map(|part| (indent, broken, part))),
        }
    }
    end_line(&mut out, &mut comments);
    out.push('\n');
    out
}

fn end_line(out: &mut String, comments: &mut Vec<&str>) {
    out.truncate(out.trim_end_matches(' ').len());
    for comment in comments.drain(..) {
        if !out.is_empty() && !out.ends_with('\n') {
            out.push_str("  ");
        }
        out.push_str(comment);
    }
}

/// Whether `doc` on one line, and what follows it up to the next place that may break, fits.
fn fits(width: usize, doc: &Doc, rest: &[Todo<'_>]) -> bool {
    let mut left = width;
    let mut todo: Vec<(bool, &Doc)> = vec![(false, doc)];
    let mut rest = rest.iter().rev();
    loop {
        let Some((broken, doc)) = todo.pop().or_else(|| rest.next().map(|(_, broken, doc)| (*broken, *doc))) else {
            return true;
        };
        match doc {
            Doc::Text(text) => match left.checked_sub(text.chars().count()) {
                Some(less) => left = less,
                None => return false,
            },
            Doc::Hard => return true,
            Doc::Line | Doc::Soft if broken => return true,
            Doc::Line => match left.checked_sub(1) {
                Some(less) => left = less,
                None => return false,
            },
            Doc::Soft | Doc::IfBroken(_) | Doc::Comment(_) => {}
            Doc::Indent(inner) => todo.push((broken, inner)),
            Doc::Group(inner, forced) => todo.push((broken || *forced, inner)),
            Doc::Concat(parts) => todo.extend(parts.iter().rev().map(|part| (broken, part))),
        }
    }
}
