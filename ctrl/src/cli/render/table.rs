//! Tables of aligned columns.

use std::fmt;

/// Between two columns.
const GAP: usize = 2;

/// A column: its title, and on which side its cells are flush.
#[derive(Debug, Clone, Copy)]
pub(super) enum Column {
    /// Text.
    Left(&'static str),
    /// Numbers.
    Right(&'static str),
}

/// A table. A cell may have several lines; those of a row stand beside each other.
#[derive(Debug)]
pub(super) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table whose rows are made from `items`: one cell for each column.
    pub(super) fn new<T, const N: usize>(
        columns: [Column; N],
        items: &[T],
        row: impl Fn(&T) -> [String; N],
    ) -> Self {
        let rows = items.iter().map(|item| row(item).to_vec()).collect();
        Self { columns: columns.to_vec(), rows }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Characters of the widest line of each column.
    fn widths(&self) -> Vec<usize> {
        let width_of = |(index, column): (usize, &Column)| {
            let cells = self.rows.iter().flat_map(|row| row[index].lines());
            cells.chain([column.title()]).map(|line| line.chars().count()).max().unwrap_or(0)
        };
        self.columns.iter().enumerate().map(width_of).collect()
    }
}

impl Column {
    fn title(&self) -> &'static str {
        match self {
            Self::Left(title) | Self::Right(title) => title,
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        let titles = self.columns.iter().map(|column| column.title().to_owned()).collect();
        for row in std::iter::once(&titles).chain(&self.rows) {
            let height = row.iter().map(|cell| cell.lines().count()).max().unwrap_or(0);
            for number in 0..height {
                let mut line = String::new();
                for ((cell, column), width) in row.iter().zip(&self.columns).zip(&widths) {
                    let part = cell.lines().nth(number).unwrap_or("");
                    let padding = " ".repeat(width - part.chars().count());
                    let parts = match column {
                        Column::Left(_) => [part, &padding],
                        Column::Right(_) => [&padding, part],
                    };
                    line.extend(parts);
                    line.push_str(&" ".repeat(GAP));
                }
                writeln!(f, "{}", line.trim_end())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligns_columns_and_lines() {
        let columns = [Column::Left("NAME"), Column::Right("N"), Column::Left("LAST")];
        let items = [("ä", 7, "x\ny"), ("longer", 1234, "")];
        let table = Table::new(columns, &items, |(name, number, last)| {
            [(*name).to_owned(), number.to_string(), (*last).to_owned()]
        });
        assert_eq!(
            table.to_string(),
            "NAME       N  LAST\n\
             ä          7  x\n\
             \u{20}             y\n\
             longer  1234\n"
        );
    }
}
