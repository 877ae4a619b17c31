//! Syntax faults: pest says which rules it tried at the furthest place, this file says it in words.

use std::ops::Range;

use pest::error::{Error, ErrorVariant, InputLocation};

use crate::diagnostic::Diagnostic;
use crate::span::{FileId, Span};

use super::Rule;
use super::brackets::{ITEM_WORDS, LATER_ITEM_WORDS};
use super::builder::Builder;
use super::habits::habit;
use super::layout::Layout;
use super::tokens::{Token, TokenKind};

/// A span from byte offsets; files are below 4 GiB, which [`super::parse`] checks.
pub(super) fn span(file: FileId, start: usize, end: usize) -> Span {
    let narrow = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    Span { file, start: narrow(start), end: narrow(end) }
}

/// The fault of a top-level statement that is no item, or no item yet.
pub(super) fn not_an_item(builder: &Builder<'_>, code: &[Token], range: Range<usize>) -> Option<Diagnostic> {
    let first = code[range.start];
    let text = first.text(builder.source);
    let at = span(builder.file, first.start, first.end);
    if LATER_ITEM_WORDS.contains(&text) {
        let what = match text {
            "adapt" => "a model made from another by freezing, wrapping or filling",
            "wrapper" => "a block that stands around another",
            _ => "a way of choosing the next tokens",
        };
        let message = format!("`{text}` is not supported yet");
        return Some(Diagnostic::error("W0003", message, at, what).help("leave the item out"));
    }
    if ITEM_WORDS.contains(&text) {
        return None;
    }
    let error = Diagnostic::error(
        "W0001",
        format!("expected an item, found `{}`", text.escape_debug()),
        at,
        "not the start of an item",
    );
    let near = ITEM_WORDS
        .iter()
        .map(|word| (strsim::damerau_levenshtein(word, text), *word))
        .min()
        .filter(|(distance, word)| *distance <= 2 && *distance < word.len() && first.kind == TokenKind::Word);
    Some(match near {
        Some((_, word)) => error.fix(at, word, format!("write `{word}`")),
        None if text == "param" || text == "slot" => error.help(format!("a `{text}` stands inside a `block` or `model`")),
        None if text == "import" || text == "from" => error.help("names are brought in with `use std.layers: Linear`"),
        None if text == "def" || text == "function" => error.help(
            "a function names the axes that come in and go out: `fn double(x: [batch, time]) -> [batch, time] = 2 * x`",
        ),
        None if text == "class" || text == "struct" => {
            error.help("layers and models are blocks: `block Name(feature: axis) { … }`, `model Name(width = 64) { … }`")
        }
        None => {
            error.note(format!("an item starts with one of {}", list(ITEM_WORDS.map(|word| format!("`{word}`")).to_vec())))
        }
    })
}

/// The fault that stopped the grammar within an item.
pub(super) fn syntax(builder: &Builder<'_>, layout: &Layout, range: Range<usize>, error: &Error<Rule>) -> Diagnostic {
    let at = match error.location {
        InputLocation::Pos(at) | InputLocation::Span((at, _)) => builder.place(at),
    };
    let source = builder.source;
    let index = range.start + layout.code[range.clone()].partition_point(|token| token.end <= at);
    let rules = match &error.variant {
        ErrorVariant::ParsingError { positives, .. } => positives.as_slice(),
        ErrorVariant::CustomError { .. } => &[],
    };
    let expected = expected(rules);
    let wanted = if expected.is_empty() { String::new() } else { format!("expected {}, ", list(expected)) };
    let Some(token) = layout.code[range.clone()].get(index - range.start).copied() else {
        let last = layout.code[range.end - 1];
        let place = span(builder.file, last.start, last.end);
        return Diagnostic::error("W0001", format!("{wanted}found the end of the item"), place, "the item ends after this");
    };
    // A statement that ended too early is shown at its last token, not at the one below that is not to blame.
    let cut = layout.text.get(at..token.start).is_some_and(|gap| gap.contains('\n'));
    if cut && index > range.start {
        let last = layout.code[index - 1];
        let place = span(builder.file, last.start, last.end);
        let error =
            Diagnostic::error("W0001", format!("{wanted}found the end of the line"), place, "the line ends after this");
        return hint(error, builder, layout, index - 1, rules);
    }
    let place = span(builder.file, token.start, token.end);
    let text = token.text(source).escape_debug().to_string();
    let error = Diagnostic::error("W0001", format!("{wanted}found `{text}`"), place, "not expected here");
    hint(error, builder, layout, index, rules)
}

/// What the author may have meant.
fn hint(error: Diagnostic, builder: &Builder<'_>, layout: &Layout, index: usize, rules: &[Rule]) -> Diagnostic {
    let source = builder.source;
    let token = layout.code[index];
    let text = token.text(source);
    let at = span(builder.file, token.start, token.end);
    let before = index.checked_sub(1).map_or("", |before| layout.code[before].text(source));
    let wants_name = rules.contains(&Rule::ident);
    if let Some(help) = habit(source, &layout.code[..=index], rules) {
        return error.help(help);
    }
    match text {
        "&&" => error.fix(at, "and", "write `and`"),
        "||" => error.fix(at, "or", "write `or`"),
        "!" => error.fix(at, "not ", "write `not`"),
        "**" => error.fix(at, "^", "write the power as `^`"),
        ":=" => error.fix(at, "=", "bind with `=`"),
        "=" if rules.contains(&Rule::colon) && rules.contains(&Rule::rparen) => {
            error.fix(at, ": ", "write an argument by name with `:`")
        }
        "=" if rules.contains(&Rule::op_add) && !rules.contains(&Rule::eq) => {
            error.help("`==` compares; `=` binds a name at the start of a statement")
        }
        "*" if before == "*" => error.help("the power of `x` is `x ^ n`"),
        "->" if rules.contains(&Rule::op_add) => error.help("`->` stands between the parameters and the result of a `fn`"),
        "else" => error.help("`else` follows the `}` of its `if`"),
        _ if ["let", "var", "const", "return"].contains(&before) => {
            error.help(format!("there is no `{before}`: `x = e` binds, and the last expression of a body is its value"))
        }
        _ if token.kind == TokenKind::Word && wants_name && KEYWORDS.contains(&text) => {
            error.note(format!("`{text}` is a word of the language and cannot be a name"))
        }
        _ if token.kind == TokenKind::Number && text.bytes().any(|b| b.is_ascii_alphabetic()) => {
            error.help("a name cannot start with a digit; a number is written `12`, `1_000`, `0.5` or `1e-4`")
        }
        _ if rules.contains(&Rule::tilde) => {
            error.help("a parameter says how it starts: `param w: [output, input] ~ normal(std: 0.02)`")
        }
        _ if rules.contains(&Rule::kw_as) && (rules.contains(&Rule::weights_body) || rules.contains(&Rule::lbrace)) => {
            error.help("the file's axis order is always written: `ours <- \"theirs\" as [output, input]`")
        }
        _ => error,
    }
}

const KEYWORDS: [&str; 21] = [
    "and",
    "or",
    "not",
    "where",
    "otherwise",
    "div",
    "mod",
    "if",
    "else",
    "for",
    "in",
    "scan",
    "yield",
    "true",
    "false",
    "as",
    "fn",
    "axis",
    "param",
    "slot",
    "assert",
];

/// The rules in words, what is likeliest missing first, each once.
fn expected(rules: &[Rule]) -> Vec<String> {
    // After a value an operator, a call and so on are always possible: they say nothing when something else was wanted.
    let after_value = rules.contains(&Rule::op_add);
    let noise = |rule: &Rule| after_value && matches!(rule, Rule::lparen | Rule::lbracket | Rule::dot);
    let mut words: Vec<(usize, &str)> =
        rules.iter().filter(|rule| !noise(rule)).filter_map(|rule| describe(*rule)).collect();
    words.sort_unstable();
    words.dedup();
    if after_value && words.iter().all(|(_, word)| word.starts_with("the end")) {
        words.insert(0, (0, "an operator"));
    }
    words.into_iter().map(|(_, word)| word.to_owned()).collect()
}

/// A rule in words, with a rank that orders the list; `None` for what is never worth naming.
fn describe(rule: Rule) -> Option<(usize, &'static str)> {
    use Rule::*;
    Some(match rule {
        expr | operand | paren | value_body | op_neg | op_not => (0, "an expression"),
        stmt => (0, "a statement"),
        member => (0, "`axis`, `param`, `slot`, `fn`, `if` or `name = …`"),
        train_entry => (0, "`name = …`, `optimizer = …` or `evaluate every …`"),
        weights_entry | mapping => (0, "`ours <- \"theirs\" as [axes]`, `config`, `if` or `ignore`"),
        binding | let_stmt => (0, "`name = …`"),
        config_entry => (0, "`ours <- theirs`, `theirs = …`, `ignore` or `keep`"),
        group => (0, "`name = … on parameters …`"),
        comparison => (0, "a comparison"),
        ident | names | let_names | path => (0, "a name"),
        string => (0, "a text in quotes"),
        int | float => (0, "a number"),
        tensor_type | shared => (0, "a type such as `[batch, time]`"),
        param_type => (0, "a type such as `[batch, time]`, `axis` or `int`"),
        result | record_type => (0, "a result type such as `[batch, time]`"),
        axis_term | product | entry | stored_axis | stored_product => (0, "an axis"),
        axes_selector | pattern | pattern_part => (0, "a path such as `layers.*.norm`"),
        param => (0, "a parameter"),
        arg => (0, "an argument"),
        axis_is => (0, "`=`"),
        axis_like => (0, "`like`"),
        fn_short => (1, "`=`"),
        params | lparen => (0, "`(`"),
        fn_axes | stored_axes | lbracket => (1, "`[`"),
        body | members | weights_body | lbrace => (1, "`{`"),
        arrow => (0, "`->`"),
        larrow => (0, "`<-`"),
        tilde => (0, "`~`"),
        eq | param_default => (0, "`=`"),
        colon => (0, "`:`"),
        dot => (2, "`.`"),
        comma => (1, "`,`"),
        rparen => (2, "`)`"),
        rbracket => (2, "`]`"),
        rbrace => (2, "`}`"),
        nl => (1, "the end of the line"),
        EOI => (1, "the end of the item"),
        kw_like => (0, "`like`"),
        kw_of => (2, "`of`"),
        kw_in => (0, "`in`"),
        kw_else => (1, "`else`"),
        kw_as | range_name => (1, "`as`"),
        kw_carry | carry => (0, "`carry`"),
        kw_over | scan_over => (0, "`over`"),
        kw_with => (0, "`with`"),
        kw_where | files => (2, "`where`"),
        kw_also | also => (2, "`also`"),
        kw_every => (0, "`every`"),
        kw_on => (0, "`on`"),
        kw_axes => (0, "`axes`"),
        kw_for => (0, "`for`"),
        kw_if => (1, "`if`"),
        state => (0, "`state`"),
        kw_update | update => (0, "`update`"),
        _ => return None,
    })
}

/// `a`, `b` or `c`
fn list(words: Vec<String>) -> String {
    match words.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}
