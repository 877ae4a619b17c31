//! What cannot be derived, and what is said of it.

use weft_tests::texts::programs;

/// What a model does between its tokens and its logits.
const LOOKS: [(&str, &str); 5] = [
    ("attention to everything", "    x = x + attention(x)"),
    ("a mean over the text", "    x = x - mean[time](x)"),
    ("its length", "    x = x / size(time)"),
    (
        "the next place",
        "    seen = x[time as source]
    x = x + sum[source](select(index(source) <= index(time) + 1, seen, 0))",
    ),
    (
        "where a walk along it ends",
        "    start = sum[token](tokens)
    h = scan[time] carry h = start over y = x { next h = 0.5 * h + y }
    x = x + h",
    ),
];

fn model(body: &str) -> String {
    format!(
        "use std.attention: SelfAttention
model Decoder() {{
  axis token = 11
  axis feature = 4
  param tokens: [token, feature] ~ normal(std: 1.0)
  attention = SelfAttention(feature, heads: 2)
  fn (ids: [batch, time] of token) -> (logits: [batch, time, token]) {{
    x = tokens[token: ids]
{body}
    (logits: dot[feature](x, tokens))
  }}
}}"
    )
}

#[test]
fn reasons() {
    let mut shown = String::new();
    let mut add = |what: &str, text: &str| {
        let (programs, why) = programs(text);
        assert!(programs.iter().all(|p| p.name.starts_with("forward")), "{what}");
        shown += &format!("{what}\n  {}\n", why.expect("a reason"));
    };
    for (what, body) in LOOKS {
        add(what, &model(body));
    }
    add("an encoder", &include_str!("../../../stdlib/bert.weft").replace("last_hidden_state", "logits"));
    let with = |more: &str, read: &str| {
        format!(
            "model Decoder() {{
  axis token = 11
  param tokens: [token] ~ normal(std: 1.0)
  fn (ids: [batch, time] of token, more: {more}) -> [batch, time, token] = tokens[token: ids] * tokens + {read}
}}"
        )
    };
    add("numbers at each place", &with("[batch, time]", "more"));
    add("two texts", &with("[batch, time] of token", "tokens[token: more]"));
    add("no text", "model Decoder() { fn (x: [batch, time]) -> [batch, time] = x }");
    insta::assert_snapshot!(shown);
}
