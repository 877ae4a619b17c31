//! The files of one compilation, as text that has already been read.

use crate::span::{FileId, Span};

/// One file.
#[derive(Clone, Debug)]
pub struct Source {
    /// The path as shown to the user; `std.layers` for a module of the standard library.
    pub path: String,
    /// The path as other files call it: from the folder of the specification.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// All loaded files; a [`FileId`] is an index into them.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    files: Vec<Source>,
}

impl Sources {
    /// No files.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file and gives its id.
    pub fn add(&mut self, path: impl Into<String>, text: impl Into<String>) -> FileId {
        let path = path.into();
        self.add_named(path.clone(), path, text)
    }

    /// Adds a file that other files call otherwise than it is shown.
    pub fn add_named(&mut self, name: impl Into<String>, path: impl Into<String>, text: impl Into<String>) -> FileId {
        let id = FileId(u32::try_from(self.files.len()).unwrap_or(u32::MAX));
        self.files.push(Source { path: path.into(), name: name.into(), text: text.into() });
        id
    }

    /// The file of this id; `None` for an id of other sources.
    pub fn get(&self, file: FileId) -> Option<&Source> {
        self.files.get(file.0 as usize)
    }

    /// The file that other files call so, if it is loaded.
    pub fn find(&self, name: &str) -> Option<FileId> {
        let at = self.files.iter().position(|source| source.name == name)?;
        u32::try_from(at).ok().map(FileId)
    }

    /// All files with their ids, in the order they were added.
    pub fn iter(&self) -> impl Iterator<Item = (FileId, &Source)> {
        (0..).map(FileId).zip(&self.files)
    }

    /// The text under a span; what of the span lies outside its file, or within a character, is left out.
    pub fn text(&self, span: Span) -> &str {
        self.get(span.file).map_or("", |source| &source.text[source.clamp(span)])
    }
}

impl Source {
    /// A span's bytes within the text: ordered, within bounds and on character boundaries.
    pub fn clamp(&self, span: Span) -> std::ops::Range<usize> {
        let start = self.text.floor_char_boundary((span.start as usize).min(self.text.len()));
        let end = self.text.ceil_char_boundary((span.end as usize).min(self.text.len()));
        start..end.max(start)
    }

    /// Line and column of a byte, both from 1; columns count characters.
    pub fn line_column(&self, at: u32) -> (usize, usize) {
        let before = &self.text[..self.text.floor_char_boundary((at as usize).min(self.text.len()))];
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        (line, column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_clamped_to_characters() {
        let mut sources = Sources::new();
        let file = sources.add("a.weft", "é = 1\nb");
        let source = sources.get(file).expect("just added");
        assert_eq!(source.clamp(Span { file, start: 1, end: 1 }), 0..2);
        assert_eq!(source.clamp(Span { file, start: 90, end: 3 }), 8..8);
        assert_eq!(source.line_column(3), (1, 3));
        assert_eq!(source.line_column(7), (2, 1));
        assert_eq!(sources.text(Span { file, start: 3, end: 4 }), "=");
        assert_eq!(sources.find("a.weft"), Some(file));
    }
}
