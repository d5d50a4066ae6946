//! Aligned columns.

use super::escape::escape_cut;
use super::paint::{Ink, Paint};

/// Longest cell; what is longer is cut with `…` (JSON has it whole).
const CELL: usize = 48;

/// A column is not made narrower than this to fit.
const SHORTEST: usize = 6;

/// How a column is aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// Rows under headings, as wide as they need to be.
#[derive(Debug)]
pub struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<String>>,
    longest: usize,
    /// Characters of a line at most.
    line: Option<usize>,
}

impl Table {
    /// A table without rows.
    pub fn new(columns: &[(&'static str, Align)]) -> Table {
        Table { columns: columns.to_vec(), rows: Vec::new(), longest: CELL, line: None }
    }

    /// The same, whose cells are never cut: it holds nothing that a container says.
    pub fn whole(columns: &[&'static str]) -> Table {
        let columns: Vec<_> = columns.iter().map(|name| (*name, Align::Left)).collect();
        Table { longest: usize::MAX, ..Table::new(&columns) }
    }

    /// The same for a terminal of so many columns: long texts are cut until a line fits, the longest ones first.
    pub fn within(self, columns: Option<usize>) -> Table {
        Table { line: columns, ..self }
    }

    /// Adds a row; its cells may hold anything, they are escaped here. Missing cells stay empty.
    pub fn row<S: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = S>) {
        let row = cells.into_iter().take(self.columns.len()).map(|c| escape_cut(c.as_ref(), self.longest).into_owned());
        self.rows.push(row.collect());
    }

    /// The text, headings first, each line ended.
    pub fn render(&self, paint: Paint) -> String {
        let width = |n: usize| {
            let cells = self.rows.iter().filter_map(|r| r.get(n)).map(|c| c.chars().count());
            cells.chain([self.columns[n].0.len()]).max().unwrap_or(0)
        };
        let mut widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        self.fit(&mut widths);
        let line = |cells: &[String]| {
            let mut out = String::new();
            for (n, width) in widths.iter().copied().enumerate() {
                let cell = cut(cells.get(n).map_or("", String::as_str), width);
                let gap = if n == 0 { "" } else { "  " };
                match self.columns[n].1 {
                    Align::Left => out += &format!("{gap}{cell:<width$}"),
                    Align::Right => out += &format!("{gap}{cell:>width$}"),
                }
            }
            out.truncate(out.trim_end().len());
            out
        };
        let head: Vec<String> = self.columns.iter().map(|(name, _)| (*name).to_owned()).collect();
        let mut out = format!("{}\n", paint.ink(Ink::Bold, line(&head)));
        for row in &self.rows {
            out += &line(row);
            out.push('\n');
        }
        out
    }
}

impl Table {
    /// Takes from the widest columns of text what a line has too much, as far as something can still be read there.
    fn fit(&self, widths: &mut [usize]) {
        let Some(line) = self.line else { return };
        let least = |n: usize| self.columns[n].0.len().max(SHORTEST);
        while widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1) > line {
            let texts = (0..widths.len()).filter(|n| self.columns[*n].1 == Align::Left && widths[*n] > least(*n));
            // the id, in front, is what the others are found by
            let Some(widest) = texts.filter(|n| *n > 0).max_by_key(|n| widths[*n]) else { return };
            widths[widest] -= 1;
        }
    }
}

/// A cell that has been escaped, in so many characters.
fn cut(cell: &str, width: usize) -> std::borrow::Cow<'_, str> {
    match cell.char_indices().nth(width) {
        None => cell.into(),
        Some(_) => cell.chars().take(width.saturating_sub(1)).chain(['…']).collect::<String>().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_cells_are_harmless() {
        let mut table = Table::new(&[("NAME", Align::Left), ("RECORDS", Align::Right), ("WHY", Align::Left)]);
        table.row(["web", "12", ""]);
        table.row(["a\x1b[2Jb", "3", "x"]);
        assert_eq!(table.render(Paint::OFF), "NAME       RECORDS  WHY\nweb             12\na\\x1b[2Jb        3  x\n");
    }

    #[test]
    fn a_long_cell_is_cut_and_a_short_row_is_filled() {
        let mut table = Table::new(&[("A", Align::Left), ("B", Align::Right)]);
        table.row(["x".repeat(100)]);
        let text = table.render(Paint::OFF);
        assert_eq!(text.lines().nth(1).unwrap().chars().count(), CELL);
        assert!(text.ends_with("…\n"));
    }
}
