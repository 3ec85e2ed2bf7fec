//! Measures contenders in turn, and prints medians and ratios.

/// Number of measurements of each contender.
pub const ROUNDS: usize = 3;

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A name, and a function that measures once.
pub type Contender<'a> = (&'a str, Box<dyn FnMut() -> f64 + 'a>);

/// The rows of the table in README.
#[derive(Default)]
pub struct Table(Vec<String>);

impl Table {
    /// Measures all contenders in turn and adds a row with their medians. Curlew is the first.
    pub fn compare(&mut self, what: &str, unit: &str, mut contenders: Vec<Contender>) {
        let mut results = vec![Vec::new(); contenders.len()];
        for _ in 0..ROUNDS {
            for ((_, measure), results) in contenders.iter_mut().zip(&mut results) {
                results.push(measure());
            }
        }
        for ((name, _), results) in contenders.iter().zip(&results) {
            let each: Vec<String> = results.iter().map(|result| number(*result)).collect();
            eprintln!("  {name}: {}", each.join(", "));
        }
        let medians: Vec<f64> = results.into_iter().map(median).collect();
        let others: Vec<_> = contenders.iter().zip(&medians).skip(1).map(|((name, _), m)| (*name, *m)).collect();
        self.row(what, unit, medians[0], &others);
    }

    /// Adds a row with Curlew's number, the others' numbers and the ratios.
    pub fn row(&mut self, what: &str, unit: &str, ours: f64, others: &[(&str, f64)]) {
        let beside: Vec<String> = others
            .iter()
            .map(|(name, theirs)| format!("{name} {} (× {})", number(*theirs), number(ours / theirs)))
            .collect();
        let row = format!("| {what} | {} {unit} | {} |", number(ours), beside.join("; "));
        eprintln!("{row}");
        self.0.push(row);
    }

    pub fn print(&self) {
        println!("| | Curlew | beside it in the same run (Curlew's × of it) |\n| --- | --- | --- |");
        println!("{}", self.0.join("\n"));
    }
}

/// Formats a number with thousands separators, or with two decimals below ten.
pub fn number(value: f64) -> String {
    if value < 10.0 {
        return format!("{value:.2}");
    }
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
