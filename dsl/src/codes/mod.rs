//! The kinds of fault: what `weft explain CODE` prints. Each area has a table of its own.

mod axes;
mod names;
mod recipes;
mod sizes;
mod syntax;
mod types;

/// A kind of fault.
#[derive(Clone, Copy, Debug)]
pub struct Code {
    /// `W0101`.
    pub code: &'static str,
    /// A short name of the fault.
    pub title: &'static str,
    /// What is wrong and why it matters, in a few sentences.
    pub explanation: &'static str,
    /// A specification, or a part of one, that has the fault.
    pub wrong: &'static str,
    /// The same without it.
    pub right: &'static str,
}

/// The tables, in the order of their codes. To add an area, add its module and its table here.
const AREAS: &[&[Code]] = &[syntax::CODES, names::CODES, sizes::CODES, axes::CODES, types::CODES, recipes::CODES];

const COUNT: usize = {
    let (mut count, mut area) = (0, 0);
    while area < AREAS.len() {
        count += AREAS[area].len();
        area += 1;
    }
    count
};

const ALL: [Code; COUNT] = {
    let mut all = [AREAS[0][0]; COUNT];
    let (mut at, mut area) = (0, 0);
    while area < AREAS.len() {
        let mut row = 0;
        while row < AREAS[area].len() {
            all[at] = AREAS[area][row];
            at += 1;
            row += 1;
        }
        area += 1;
    }
    all
};

/// Every kind of fault, in the order of the codes.
pub const CODES: &[Code] = &ALL;

/// The kind of fault with this code: `W0305`, `w0305` or `305`.
pub fn lookup(code: &str) -> Option<&'static Code> {
    let number = number(code)?;
    CODES.iter().find(|row| self::number(row.code) == Some(number))
}

/// The kind of fault whose number is nearest to that of a code; `None` for what is no code.
pub fn nearest(code: &str) -> Option<&'static Code> {
    let wanted = number(code)?;
    CODES.iter().min_by_key(|row| number(row.code).map(|number| number.abs_diff(wanted)))
}

fn number(code: &str) -> Option<u32> {
    code.trim().trim_start_matches(['W', 'w']).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_ordered_and_well_formed() {
        assert!(CODES.windows(2).all(|pair| pair[0].code < pair[1].code));
        for row in CODES {
            assert!(row.code.len() == 5 && row.code.starts_with('W'), "{}", row.code);
            assert!(!row.title.is_empty() && !row.explanation.is_empty(), "{}", row.code);
            assert_eq!(lookup(&row.code.to_lowercase()).map(|found| found.title), Some(row.title));
        }
        assert!(lookup("W9999").is_none() && lookup("").is_none() && lookup("time").is_none());
        for code in ["305", "w0305", " W305 "] {
            assert_eq!(lookup(code).map(|row| row.code), Some("W0305"), "{code}");
        }
        assert_eq!(nearest("0399").map(|row| row.code < "W0402" && row.code > "W0310"), Some(true));
        assert!(nearest("axes").is_none());
    }

    #[test]
    fn syntax_examples_are_what_they_say() {
        for row in syntax::CODES {
            let faults = |text| crate::parse::parse(crate::span::FileId(0), text).1;
            let wrong = faults(row.wrong);
            assert!(wrong.iter().any(|fault| fault.code == row.code), "{}: {wrong:?}", row.code);
            assert!(faults(row.right).is_empty(), "{}: {:?}", row.code, faults(row.right));
        }
    }
}
