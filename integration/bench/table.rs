//! Pairs measured in turns, their medians and ratios.

/// How often each is measured, in turns with the others.
pub const TURNS: usize = 3;

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Somebody's way to do the same.
pub type Contender<'a> = (&'a str, Box<dyn FnMut() -> f64 + 'a>);

/// Runs all in turns and prints a line of each: median, lowest, highest, and Curlew's ratio to it.
/// Curlew is the first.
pub fn compare(title: &str, unit: &str, mut contenders: Vec<Contender>) {
    let mut results = vec![Vec::new(); contenders.len()];
    for _ in 0..TURNS {
        for ((_, measure), results) in contenders.iter_mut().zip(&mut results) {
            results.push(measure());
        }
    }
    let ours = median(results[0].clone());
    println!("{title}, {unit}");
    for (place, ((name, _), results)) in contenders.iter().zip(results).enumerate() {
        let lowest = results.iter().copied().fold(f64::INFINITY, f64::min);
        let highest = results.iter().copied().fold(0.0, f64::max);
        let theirs = median(results);
        let ratio = if place == 0 { String::new() } else { format!("curlew is {:.2} of it", ours / theirs) };
        let range = format!("({} to {})", number(lowest), number(highest));
        println!("  {name:<28} {:>10} {range:>24}   {ratio}", number(theirs));
    }
}

/// A line without anything beside it.
pub fn line(name: &str, value: f64, unit: &str) {
    println!("  {name:<28} {:>10} {unit}", number(value));
}

/// With separators from a thousand on, with three digits below ten.
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
