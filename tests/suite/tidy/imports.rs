//! The import graph inside every room has no circle.
//!
//! A room is a folder of `src/`, and `src/` itself. Its modules are the files and folders in it; a file and the folder of
//! the same name are one module. The file that opens a room (`mod.rs`, `lib.rs`, or `room.rs` beside `room/`) is not a
//! module of it: it names its children, and they may name what it declares. A name that it only passes on leads to the
//! module that declares the name.

use super::exceptions::{self, Found};
use super::layers;
use super::modules::{Import, imports};
use std::collections::{BTreeMap, BTreeSet};

type Edges = BTreeMap<&'static str, BTreeMap<&'static str, BTreeSet<String>>>;

/// The imports between the modules of each room, with their places.
fn rooms(imports: &[Import]) -> BTreeMap<String, Edges> {
    let mut rooms: BTreeMap<String, Edges> = BTreeMap::new();
    for Import { from, to, place } in imports {
        let shared = from.iter().zip(to).take_while(|(from, to)| from == to).count();
        if let (Some(from_child), Some(to_child)) = (from.get(shared), to.get(shared)) {
            let room = [&["src"][..], &from[..shared]].concat().join("/");
            let edges = rooms.entry(room).or_default().entry(from_child).or_default();
            edges.entry(to_child).or_default().insert(place.clone());
        }
    }
    rooms
}

fn reached(edges: &Edges, start: &'static str) -> BTreeSet<&'static str> {
    let mut reached = BTreeSet::new();
    let mut next = vec![start];
    while let Some(module) = next.pop() {
        let targets = edges.get(module).into_iter().flat_map(BTreeMap::keys).copied();
        next.extend(targets.filter(|target| reached.insert(*target)));
    }
    reached
}

/// The largest sets of modules that all reach each other (strongly connected components).
fn circles(edges: &Edges) -> BTreeSet<BTreeSet<&'static str>> {
    let reached: BTreeMap<_, _> = edges.keys().map(|module| (*module, reached(edges, module))).collect();
    let circle = |(module, targets): (&&'static str, &BTreeSet<&'static str>)| {
        let back = |target: &&&'static str| reached.get(**target).is_some_and(|targets| targets.contains(module));
        let circle: BTreeSet<_> = targets.iter().filter(back).copied().collect();
        (circle.len() > 1).then_some(circle)
    };
    reached.iter().filter_map(circle).collect()
}

/// The imports inside a circle, a line for each pair of modules with the first places.
fn show(room: &str, edges: &Edges, circle: &BTreeSet<&'static str>) -> String {
    let mut lines = format!("{room}: {} modules import each other: {}", circle.len(), join(circle, ", "));
    for from in circle {
        for (to, places) in edges[from].iter().filter(|(to, _)| circle.contains(*to)) {
            lines += &format!("\n      {from} -> {to}: {}", join(places.iter().take(3), " "));
        }
    }
    lines
}

fn join(words: impl IntoIterator<Item = impl ToString>, separator: &str) -> String {
    words.into_iter().map(|word| word.to_string()).collect::<Vec<_>>().join(separator)
}

#[test]
fn no_room_has_a_circle_of_imports() {
    let mut found = Found::new();
    for (room, edges) in rooms(imports()) {
        for circle in circles(&edges) {
            // An exception is a module in a circle; the first one carries the whole circle's description.
            let mut places = vec![show(&room, &edges, &circle)];
            places.extend(circle.iter().skip(1).map(|module| format!("  and {module}")));
            found.entry(room.clone()).or_default().extend(places);
        }
    }
    exceptions::check("inside a room imports run one way (counted: modules in circles)", "circles.txt", &found);
}

/// Run it with `--nocapture` to see the graph.
#[test]
fn the_graph_can_be_printed() {
    let rooms = rooms(imports());
    let mut count = 0;
    for (room, edges) in &rooms {
        for circle in circles(edges) {
            count += 1;
            println!("{}", show(room, edges, &circle));
        }
    }
    let upward = layers::broken(imports());
    for (key, places) in &upward {
        println!("{key}: {}", places.join(" "));
    }
    println!("{} rooms, circles inside rooms {count}, imports up a layer {}", rooms.len(), upward.len());
}

#[test]
fn a_circle_is_found_with_all_its_modules() {
    let import = |from: &'static str, to: &'static str| Import {
        from: vec!["room", from],
        to: vec!["room", to, "inner"],
        place: format!("{from}.rs:1"),
    };
    let chain = [import("a", "b"), import("b", "c"), import("c", "d"), import("e", "a")];
    let circles_of = |imports: &[Import]| circles(&rooms(imports)["src/room"]);
    assert_eq!(circles_of(&chain), BTreeSet::new());
    let closed = [chain.as_slice(), &[import("d", "b")]].concat();
    assert_eq!(circles_of(&closed), BTreeSet::from([BTreeSet::from(["b", "c", "d"])]));
}
