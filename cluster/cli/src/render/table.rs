//! Tables that fit: columns of least weight go first when the width does not suffice.

/// A column: its heading, and how much it is missed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) title: &'static str,
    /// The column with the largest value is dropped first; 0 is never dropped.
    pub(super) expendable: u8,
}

pub(super) const fn column(title: &'static str, expendable: u8) -> Column {
    Column { title, expendable }
}

const GAP: usize = 2;

/// Renders `rows` below the headings, no line wider than `width` unless the columns that are never
/// dropped need more; their last one is then cut.
pub(super) fn render(columns: &[Column], rows: &[Vec<String>], width: usize) -> String {
    let widths: Vec<usize> = (0..columns.len())
        .map(|index| {
            let cells = rows.iter().filter_map(|row| row.get(index)).map(|cell| length(cell));
            cells.chain([length(columns[index].title)]).max().unwrap_or(0)
        })
        .collect();
    let mut shown: Vec<usize> = (0..columns.len())
        // A column without a single entry tells nothing.
        .filter(|index| {
            columns[*index].expendable == 0
                || rows.iter().any(|row| row.get(*index).is_some_and(|cell| !cell.is_empty()))
        })
        .collect();
    while total(&shown, &widths) > width {
        let least = shown.iter().copied().max_by_key(|index| (columns[*index].expendable, *index));
        match least {
            Some(index) if columns[index].expendable > 0 => shown.retain(|other| *other != index),
            _ => break,
        }
    }
    let mut out = line(&shown, &widths, width, |index| columns[index].title);
    for row in rows {
        out.push_str(&line(&shown, &widths, width, |index| {
            row.get(index).map_or("", String::as_str)
        }));
    }
    out
}

fn total(shown: &[usize], widths: &[usize]) -> usize {
    let cells: usize = shown.iter().map(|index| widths[*index]).sum();
    cells + GAP * shown.len().saturating_sub(1)
}

fn line<'a>(
    shown: &[usize],
    widths: &[usize],
    width: usize,
    cell: impl Fn(usize) -> &'a str,
) -> String {
    let mut out = String::new();
    for (place, index) in shown.iter().enumerate() {
        let text = cell(*index);
        out.push_str(text);
        if place + 1 < shown.len() {
            let padding = widths[*index].saturating_sub(length(text)) + GAP;
            out.extend(std::iter::repeat_n(' ', padding));
        }
    }
    let mut out = cut(out.trim_end(), width);
    out.push('\n');
    out
}

/// The text, or its beginning and an ellipsis where it is longer than `width` characters.
pub(super) fn cut(text: &str, width: usize) -> String {
    if length(text) <= width {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// The text on lines of at most `width` characters, broken between words; lines after the first are
/// indented by `indent` blanks. Every line ends with a newline.
pub(super) fn wrap(text: &str, indent: usize, width: usize) -> String {
    let lead = text.chars().take_while(|c| *c == ' ').collect::<String>();
    let mut out = String::new();
    let mut line = lead;
    let mut empty = true;
    for word in text.split_whitespace() {
        if !empty && length(&line) + 1 + length(word) > width.max(2 * indent) {
            out.push_str(&line);
            out.push('\n');
            line = " ".repeat(indent);
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    out.push_str(&line);
    out.push('\n');
    out
}

fn length(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 3] = [column("NAME", 0), column("EXTRA", 2), column("STATE", 1)];

    fn rows() -> Vec<Vec<String>> {
        vec![vec!["vip".into(), "something".into(), "up".into()]]
    }

    #[test]
    fn columns_go_by_weight_when_space_runs_out() {
        assert_eq!(render(&COLUMNS, &rows(), 80), "NAME  EXTRA      STATE\nvip   something  up\n");
        assert_eq!(render(&COLUMNS, &rows(), 15), "NAME  STATE\nvip   up\n");
        assert_eq!(render(&COLUMNS, &rows(), 6), "NAME\nvip\n");
        assert_eq!(render(&COLUMNS, &rows(), 3), "NA…\nvip\n");
    }

    #[test]
    fn text_breaks_between_words_only() {
        assert_eq!(wrap("  ! one two three", 4, 9), "  ! one\n    two\n    three\n");
        assert_eq!(wrap("a-word-that-does-not-fit b", 2, 5), "a-word-that-does-not-fit\n  b\n");
        assert_eq!(wrap("", 2, 5), "\n");
    }

    #[test]
    fn a_column_without_entries_is_left_out() {
        let rows = vec![vec!["vip".into(), String::new(), "up".into()]];
        assert_eq!(render(&COLUMNS, &rows, 80), "NAME  STATE\nvip   up\n");
    }
}
