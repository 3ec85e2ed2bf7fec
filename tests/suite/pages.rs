//! Rules for pages behind a proxy: relative URLs in the dashboard, and recipes in the README.

use std::path::Path;

/// Returns the name and text of each dashboard file.
fn files() -> Vec<(String, String)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/dashboard");
    let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    files.map(|file| (file.display().to_string(), std::fs::read_to_string(&file).unwrap())).collect()
}

#[test]
fn no_url_in_the_dashboard_starts_at_the_root() {
    let from_the_root = |line: &str| {
        let begins = |quote: char| {
            line.match_indices(quote).any(|(at, _)| {
                let mut rest = line[at + 1..].chars();
                rest.next() == Some('/') && rest.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '$')
            })
        };
        ['"', '\'', '`', '('].into_iter().any(begins) || line.contains("location.origin")
    };
    assert!(from_the_root("fetch(\"/topics\")") && from_the_root("`/${topic}`") && from_the_root("url(/a.png)"));
    let files = files();
    assert!(files.len() > 30, "{}", files.len());
    for (name, text) in files {
        // A regular expression is not a URL.
        let lines = text.lines().filter(|line| !line.contains(".test(") && !line.contains(".exec("));
        let wrong: Vec<_> = lines.filter(|line| from_the_root(line)).collect();
        assert!(wrong.is_empty(), "{name}: a proxy may serve this under a prefix\n{}", wrong.join("\n"));
    }
}

#[test]
fn the_readme_contains_the_proxy_recipes_verbatim() {
    let recipes = [
        include_str!("../../integration/proxies/nginx.conf"),
        include_str!("../../integration/proxies/Caddyfile"),
        include_str!("../../integration/proxies/haproxy.cfg"),
    ];
    for recipe in recipes {
        assert!(include_str!("../../README.md").contains(&format!("\n{recipe}```\n")), "README.md lacks\n{recipe}");
    }
}
