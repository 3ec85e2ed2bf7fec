//! A strict parser of Prometheus' text formats: input that a scraper would reject or misread fails the test.

use std::collections::{BTreeMap, BTreeSet};

/// The samples by name and labels as written, such as `curlew_streams{state="live"}`.
pub struct Metrics {
    pub samples: BTreeMap<String, f64>,
    /// The type of each metric family.
    pub families: BTreeMap<String, String>,
}

impl Metrics {
    pub fn read(text: &str) -> Self {
        let mut metrics = Self { samples: BTreeMap::new(), families: BTreeMap::new() };
        let (mut helped, mut current) = (BTreeSet::new(), String::new());
        assert!(text.ends_with('\n'), "the last line has no line end");
        for line in text.lines() {
            if line == "# EOF" {
                assert!(text.ends_with("# EOF\n"), "something after # EOF");
            } else if let Some(help) = line.strip_prefix("# HELP ") {
                let (family, words) = help.split_once(' ').expect("a help text");
                assert!(!words.is_empty() && helped.insert(family.to_owned()), "{line}");
                current = family.to_owned();
            } else if let Some(of) = line.strip_prefix("# TYPE ") {
                let (family, kind) = of.split_once(' ').expect("a type");
                assert_eq!(family, current, "TYPE follows HELP of the same family");
                assert!(["counter", "gauge", "histogram", "info"].contains(&kind), "{line}");
                assert!(metrics.families.insert(family.to_owned(), kind.to_owned()).is_none(), "twice: {line}");
            } else {
                metrics.sample(line, &current);
            }
        }
        metrics.check_histograms();
        metrics
    }

    fn sample(&mut self, line: &str, family: &str) {
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
        let name = series.split('{').next().unwrap();
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'), "{line}");
        let suffix = name.strip_prefix(family).unwrap_or_else(|| panic!("{line} is in family {family}"));
        let suffixes: &[&str] = match self.families[family].as_str() {
            "counter" => &["_total", ""],
            "histogram" => &["_bucket", "_sum", "_count"],
            "info" => &["_info"],
            _ => &[""],
        };
        assert!(suffixes.contains(&suffix), "{line} in family {family}");
        if let Some(labels) = series.strip_prefix(name).and_then(|l| l.strip_prefix('{')) {
            let labels = labels.strip_suffix('}').unwrap_or_else(|| panic!("{line}"));
            for label in labels.split(',') {
                let (_, text) = label.split_once("=\"").unwrap_or_else(|| panic!("{line}"));
                assert!(text.ends_with('"') && !text.trim_end_matches('"').contains('"'), "{line}");
            }
        }
        let value = value.parse().unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(self.samples.insert(series.to_owned(), value).is_none(), "twice: {line}");
    }

    fn check_histograms(&self) {
        for family in self.families.iter().filter(|(_, kind)| *kind == "histogram").map(|(family, _)| family) {
            let bucket = format!("{family}_bucket{{le=\"");
            let mut buckets: Vec<(f64, f64)> = self
                .samples
                .iter()
                .filter_map(|(series, count)| Some((series.strip_prefix(&bucket)?.trim_end_matches("\"}"), *count)))
                .map(|(bound, count)| (bound.replace("+Inf", "inf").parse().unwrap(), count))
                .collect();
            buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
            assert!(buckets.is_sorted_by(|a, b| a.1 <= b.1), "{family} is not cumulative: {buckets:?}");
            let (bound, all) = *buckets.last().unwrap();
            assert_eq!((bound, all), (f64::INFINITY, self.value(&format!("{family}_count"))), "{family}");
        }
    }

    #[track_caller]
    pub fn value(&self, series: &str) -> f64 {
        *self.samples.get(series).unwrap_or_else(|| panic!("no {series} in {:#?}", self.samples))
    }

    /// Returns the names that a query may use.
    pub fn names(&self) -> BTreeSet<&str> {
        self.samples.keys().map(|series| series.split('{').next().unwrap()).collect()
    }
}
