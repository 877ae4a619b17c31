//! The known names nearest to one that is not known, for messages.

/// A help such as `; did you mean `a` or `b`?`, empty where nothing is near.
pub fn hint<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<String> = nearest(name, known).iter().map(|n| format!("`{n}`")).collect();
    if names.is_empty() { String::new() } else { format!("; did you mean {}?", names.join(" or ")) }
}

/// Up to three known names that are near, nearest first; those equally near in the order given.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let chars: Vec<char> = name.chars().collect();
    let mut found: Vec<(usize, &str)> = Vec::new();
    for candidate in known {
        let other: Vec<char> = candidate.chars().collect();
        let allowed = (chars.len().max(other.len()) / 3).max(1);
        // The difference of lengths is a lower bound; it spares the table for most of a long list.
        if chars.len().abs_diff(other.len()) > allowed {
            continue;
        }
        let distance = distance(&chars, &other);
        if distance <= allowed {
            found.push((distance, candidate));
        }
    }
    found.sort_by_key(|&(distance, _)| distance);
    found.into_iter().take(3).map(|(_, name)| name).collect()
}

/// Insertions, deletions and replacements from one to the other (Levenshtein 1966).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut corner = i;
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = corner + usize::from(x != y);
            corner = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(corner + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names() {
        let known = ["forward", "loss", "train_step", "encode"];
        assert_eq!(nearest("forwrad", known), ["forward"]);
        assert_eq!(hint("los", known), "; did you mean `loss`?");
        assert_eq!(hint("zzz", known), "");
        assert_eq!(hint("", known), "");
        assert_eq!(distance(&['a', 'b', 'c'], &['b', 'c', 'd']), 2);
    }
}
