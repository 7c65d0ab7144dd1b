//! What somebody may have meant: the known word nearest to the one that was written.

/// The candidate nearest to `word`, if one is near: at most a third of its letters differ.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count() + 1) / 3;
    candidates
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

/// How many letters must be inserted, left out, replaced or swapped with their neighbour; capitals, and `-` for
/// `_`, make no difference. Words longer than 64 letters are far from everything but themselves.
fn distance(a: &str, b: &str) -> usize {
    const LONGEST: usize = 64;
    let fold = |word: &str| word.to_lowercase().replace('-', "_").chars().collect::<Vec<char>>();
    let (a, b) = (fold(a), fold(b));
    if a.len() > LONGEST || b.len() > LONGEST {
        return if a == b { 0 } else { usize::MAX };
    }
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let differs = usize::from(a[i - 1] != b[j - 1]);
            let mut least =
                (rows[i - 1][j - 1] + differs).min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 5] = ["primitive", "colocation", "group", "node", "no_quorum_policy"];

    #[test]
    fn the_nearest_word_is_found_and_a_far_one_is_not() {
        for (typed, meant) in [
            ("primitve", Some("primitive")),
            ("colocaton", Some("colocation")),
            ("gruop", Some("group")),
            ("Node", Some("node")),
            ("no-quorum-polcy", Some("no_quorum_policy")),
            ("frobnicate", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, KNOWN), meant, "{typed}");
        }
    }

    #[test]
    fn a_swap_counts_once() {
        assert_eq!(distance("ab", "ba"), 1);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }

    #[test]
    fn a_word_without_end_is_far_from_everything_but_itself() {
        let long = "x".repeat(65);
        assert_eq!(nearest(&long, KNOWN), None);
        assert_eq!(distance(&long, &long), 0);
    }
}
