//! Faults put into valid files at random: nothing panics, and the message points at what was changed.

use crate::elaborate::Program;
use crate::span::FileId;

/// A small generator with a fixed start: the same faults in every run (Steele, Lea and Flood, 2014: SplitMix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n.max(1) as u64) as usize
    }
}

/// The words and signs of a file outside comments, as ranges of bytes.
fn tokens(text: &str) -> Vec<(usize, usize)> {
    let mut out = Vec::new();
    let mut line_start = 0;
    for line in text.split_inclusive('\n') {
        let code = line.split("//").next().unwrap_or("");
        let mut start = None;
        for (i, c) in code.char_indices().chain([(code.len(), ' ')]) {
            let word = c.is_alphanumeric() || c == '_';
            match (start, word) {
                (None, true) => start = Some(i),
                (Some(from), false) => {
                    out.push((line_start + from, line_start + i));
                    start = None;
                }
                _ => {}
            }
            if !word && !c.is_whitespace() {
                out.push((line_start + i, line_start + i + c.len_utf8()));
            }
        }
        line_start += line.len();
    }
    out
}

/// A text with one fault, and where it is.
fn mutated(text: &str, chance: &mut Chance) -> (String, usize) {
    let tokens = tokens(text);
    let (start, end) = tokens[chance.below(tokens.len())];
    let (other, other_end) = tokens[chance.below(tokens.len())];
    let old = &text[start..end];
    let new = match chance.below(5) {
        0 => String::new(),
        1 => format!("{old} {old}"),
        2 => format!("{old}x"),
        3 => text[other..other_end].to_owned(),
        _ => old.chars().rev().collect(),
    };
    (format!("{}{new}{}", &text[..start], &text[end..]), start)
}

#[test]
fn messages_point_at_the_fault() {
    let mut texts: Vec<&str> = crate::library::names().filter_map(crate::library::library).collect();
    texts.push(include_str!("../../../../examples/shakespeare.weft"));
    let mut chance = Chance(2);
    let (mut faulty, mut pointed, mut missed) = (0, 0, Vec::new());
    for round in 0..500 {
        let text = texts[round % texts.len()];
        let (changed, at) = mutated(text, &mut chance);
        let (program, mut diagnostics) = Program::load("test.weft", &changed, &|_| None);
        if diagnostics.is_empty() {
            diagnostics = program.check();
        }
        if diagnostics.is_empty() {
            continue;
        }
        faulty += 1;
        let line = |byte: usize| changed[..byte.min(changed.len())].matches('\n').count();
        let on_the_line = diagnostics.iter().flat_map(|d| &d.labels).any(|label| {
            label.span.file == FileId(0)
                && (line(label.span.start as usize)..=line(label.span.end as usize)).contains(&line(at))
        });
        if on_the_line {
            pointed += 1;
        } else {
            let place = changed.lines().nth(line(at)).unwrap_or("");
            missed.push(format!("{place}\n    {}: {}", diagnostics[0].code, diagnostics[0].message));
        }
    }
    assert!(faulty > 300, "only {faulty} of 500 changes are faults");
    assert!(pointed * 100 >= faulty * 80, "{pointed} of {faulty}:\n{}", missed.join("\n"));
}
